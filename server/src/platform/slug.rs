//! Slugs: what URLs call things.

use crate::store::QueryResult;

/// The longest slug, in characters.
const MAX: usize = 100;

/// The slug that a name gives: lower case, runs of anything else become one `-`; `fallback` where nothing is left.
pub(super) fn of(name: &str, fallback: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { fallback.into() } else { slug.into() }
}

/// The slug itself or, where it is taken, the first free one of `slug-2`, `slug-3`, …
pub(super) fn free(slug: &str, is_taken: impl Fn(&str) -> QueryResult<bool>) -> QueryResult<String> {
    let mut candidate = slug.to_owned();
    let mut number = 1_u64;
    while is_taken(&candidate)? {
        number += 1;
        let suffix = format!("-{number}");
        let stem = &slug[..slug.len().min(MAX - suffix.len())];
        candidate = format!("{}{suffix}", stem.trim_end_matches('-'));
    }
    Ok(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_made_from_names() {
        for (name, slug) in [
            ("My Agent", "my-agent"),
            ("  --Hello,  World!-- ", "hello-world"),
            ("Übung №7", "bung-7"),
            ("日本語", "agent"),
            ("A", "a"),
        ] {
            assert_eq!(of(name, "agent"), slug, "{name}");
        }
        let long = of(&"ab ".repeat(100), "agent");
        assert!(long.len() <= 100 && !long.ends_with('-'), "{long}");
    }

    #[test]
    fn a_taken_slug_gets_a_number() {
        let taken = ["a", "a-2"];
        assert_eq!(free("a", |slug| Ok(taken.contains(&slug))).unwrap(), "a-3");
        let long = "x".repeat(100);
        let free = free(&long, |slug| Ok(slug == long)).unwrap();
        assert_eq!(free, format!("{}-2", "x".repeat(98)));
    }
}
