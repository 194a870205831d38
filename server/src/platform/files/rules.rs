//! What names and tags may be, and how usage is reckoned.

use castari_common::files::{FileUsage, MAX_FILENAME_BYTES};

/// A file's name: the last part of the path that a client gave; `None` where that cannot be one.
#[must_use]
pub fn plain_name(given: &str) -> Option<&str> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_name = !name.trim().is_empty()
        && !matches!(name, "." | "..")
        && name.len() <= MAX_FILENAME_BYTES
        && !name.contains(char::is_control);
    is_name.then_some(name)
}

/// Tags without the spaces around them, without empty ones, and each once.
pub fn tidy<'a>(tags: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut tidy: Vec<String> = Vec::new();
    for tag in tags {
        let tag = tag.trim();
        if !tag.is_empty() && !tidy.iter().any(|other| other == tag) {
            tidy.push(tag.into());
        }
    }
    tidy
}

/// The usage that these numbers, in bytes, come to.
pub(super) fn usage(total_files: u64, total_bytes: u64, limit: u64) -> FileUsage {
    let usage_percent = match (total_bytes, limit) {
        (0, _) => 0.0,
        (_, 0) => 100.0,
        _ => float(total_bytes) * 100.0 / float(limit),
    };
    FileUsage {
        total_files,
        total_bytes,
        total_mb: two_places(float(total_bytes) / float(1 << 20)),
        limit_mb: limit >> 20,
        usage_percent: two_places(usage_percent),
    }
}

fn two_places(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what is lost is far below two places of a MiB"
)]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_path_is_the_name() {
        for (given, name) in [
            ("data.csv", "data.csv"),
            ("a/b/data.csv", "data.csv"),
            ("C:\\a\\data.csv", "data.csv"),
            ("../../etc/passwd", "passwd"),
            ("...", "..."),
            ("früh \"1\".txt", "früh \"1\".txt"),
        ] {
            assert_eq!(plain_name(given), Some(name), "{given}");
        }
        let long = "x".repeat(256);
        for given in ["", " ", ".", "..", "a/", "a/..", "a\0b", "a\nb", "a\u{85}b", &long] {
            assert_eq!(plain_name(given), None, "{given:?}");
        }
        assert!(plain_name(&"ü".repeat(127)).is_some() && plain_name(&"ü".repeat(128)).is_none());
    }

    #[test]
    fn tags_are_tidied() {
        assert_eq!(tidy(" a,b ,, a,A,  ".split(',')), ["a", "b", "A"]);
        assert!(tidy("".split(',')).is_empty());
    }

    #[test]
    fn usage_has_two_places() {
        let usage = |bytes, limit| usage(1, bytes, limit);
        let third = usage(1_000_000, 3 << 20);
        assert_eq!((third.total_mb, third.limit_mb, third.usage_percent), (0.95, 3, 31.79));
        assert_eq!(usage(0, 0).usage_percent.to_string(), "0");
        assert_eq!(usage(1, 0).usage_percent.to_string(), "100");
    }
}
