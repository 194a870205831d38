//! Masks secrets in what agents write.

use std::sync::Arc;

use memchr::memmem::Finder;

/// What stands for a secret.
const MASK: &str = "***";

/// The shortest value that is masked, in bytes. Shorter ones stand everywhere by chance and protect nothing.
const SHORTEST: usize = 4;

/// The values that are not to be seen. Clones are of one.
#[derive(Clone)]
pub(super) struct Mask {
    values: Arc<[Value]>,
}

/// A value, and for each of its beginnings the length of the longest shorter beginning that it ends with: the table of
/// Knuth, Morris and Pratt.
struct Value {
    finder: Finder<'static>,
    borders: Vec<usize>,
}

/// A text that comes in pieces. What may be the beginning of a secret is held back until more has come.
pub(super) struct Masked {
    mask: Mask,
    held: String,
}

impl Mask {
    /// Masks these values.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let values = values.into_iter().filter(|value| value.len() >= SHORTEST);
        Self {
            values: values.map(Value::new).collect(),
        }
    }

    /// A text that is masked as it comes.
    pub fn text(&self) -> Masked {
        Masked {
            mask: self.clone(),
            held: String::new(),
        }
    }

    /// Where the longest unfinished beginning of any value starts that a text ends with.
    fn open(&self, text: &str) -> usize {
        let lengths = self
            .values
            .iter()
            .map(|value| value.beginning_at_end_of(text.as_bytes()));
        text.len() - lengths.max().unwrap_or(0)
    }
}

impl Masked {
    /// What can be told once this piece has come.
    pub fn take(&mut self, piece: String) -> String {
        if self.mask.values.is_empty() {
            return piece;
        }
        let text = std::mem::take(&mut self.held) + &piece;
        let (told, held) = self.cover(&text, self.mask.open(&text));
        text[held..].clone_into(&mut self.held);
        told
    }

    /// The rest, when nothing more comes.
    pub fn end(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let (told, rest) = self.cover(&held, held.len());
        told + &held[rest..]
    }

    /// The text with its values masked up to `open`, and where the rest begins. A value that begins behind `open` may yet
    /// turn out to be part of a longer one.
    fn cover(&self, text: &str, mut open: usize) -> (String, usize) {
        let mut told = String::with_capacity(text.len());
        let mut matches = Matches::new(&self.mask.values, text);
        let mut from = 0;
        while let Some((start, end)) = matches.first_from(from).filter(|(start, _)| *start < open) {
            told.push_str(&text[from..start]);
            told.push_str(MASK);
            from = end;
            if from > open {
                open = from + self.mask.open(&text[from..]);
            }
        }
        told.push_str(&text[from..open]);
        (told, open)
    }
}

/// The places in a text where values stand, each looked for once.
struct Matches<'a> {
    text: &'a str,
    next: Vec<(&'a Value, Option<usize>)>,
}

impl<'a> Matches<'a> {
    fn new(values: &'a [Value], text: &'a str) -> Self {
        let find = |value: &'a Value| (value, value.finder.find(text.as_bytes()));
        Self {
            text,
            next: values.iter().map(find).collect(),
        }
    }

    /// Where the first value from here on starts and ends; of several that start there, the longest.
    fn first_from(&mut self, from: usize) -> Option<(usize, usize)> {
        for (value, next) in &mut self.next {
            if next.is_some_and(|next| next < from) {
                *next = value.finder.find(&self.text.as_bytes()[from..]).map(|next| next + from);
            }
        }
        let found = self
            .next
            .iter()
            .filter_map(|(value, next)| Some(((*next)?, value.bytes().len())));
        let (start, length) = found.min_by_key(|(start, length)| (*start, usize::MAX - length))?;
        Some((start, start + length))
    }
}

impl Value {
    fn new(value: &str) -> Self {
        let bytes = value.as_bytes();
        let mut borders = vec![0; bytes.len()];
        for index in 1..bytes.len() {
            let mut length = borders[index - 1];
            while length > 0 && bytes[length] != bytes[index] {
                length = borders[length - 1];
            }
            borders[index] = length + usize::from(bytes[length] == bytes[index]);
        }
        Self {
            finder: Finder::new(bytes).into_owned(),
            borders,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.finder.needle()
    }

    fn beginning_at_end_of(&self, text: &[u8]) -> usize {
        let bytes = self.bytes();
        let tail = &text[text.len().saturating_sub(bytes.len() - 1)..];
        let mut length = 0;
        for byte in tail {
            while length > 0 && bytes[length] != *byte {
                length = self.borders[length - 1];
            }
            length += usize::from(bytes[length] == *byte);
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&str], pieces: &[&str]) -> Vec<String> {
        let mut text = Mask::new(values.iter().copied()).text();
        let mut told: Vec<String> = pieces.iter().map(|piece| text.take((*piece).to_owned())).collect();
        told.push(text.end());
        told
    }

    #[test]
    fn secrets_are_masked_wherever_the_pieces_break() {
        let whole = "aa hidden-1 ähidden-1hidden-12 hidden- €uro-secret hidd";
        let values = ["hidden-1", "hidden-12", "€uro-secret"];
        let expected = "aa *** ä****** hidden- *** hidd";
        for cut in (0..=whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
            assert_eq!(
                masked(&values, &[&whole[..cut], &whole[cut..]]).concat(),
                expected,
                "cut at {cut}"
            );
        }
        let letters: Vec<String> = whole.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(masked(&values, &letters).concat(), expected);
    }

    #[test]
    fn only_what_may_be_a_secret_is_held_back() {
        assert_eq!(
            masked(&["secret"], &["no", "t a sec", "ond"]),
            ["no", "t a ", "second", ""]
        );
        assert_eq!(masked(&["secret"], &["a secre", "t"]), ["a ", "***", ""]);
        assert_eq!(masked(&["secret"], &["a secre"]), ["a ", "secre"]);
    }

    #[test]
    fn values_that_begin_alike_or_within_each_other_are_masked() {
        assert_eq!(masked(&["abcd", "abcdef"], &["abcde", "f abcdg"]).concat(), "*** ***g");
        assert_eq!(masked(&["xabcdx", "abcd"], &["xabcd", "y"]).concat(), "x***y");
        assert_eq!(masked(&["abab"], &["xab", "abab"]).concat(), "x***ab");
        assert_eq!(masked(&["aaaa"], &["aaa", "aaaaaa"]).concat(), "******a");
    }

    #[test]
    fn long_values_and_many_of_them_take_no_long_time() {
        let (long, short) = ("x".repeat(64 << 10), "xxxx".to_owned());
        let mut values = vec![long.as_str(); 15];
        values.push(&short);
        let pieces = vec!["xxxxy"; 10_000];
        assert_eq!(masked(&values, &[&pieces.concat()]).concat(), "***y".repeat(10_000));
        assert_eq!(masked(&values, &[&long, "x"]).concat(), "***x");
    }

    #[test]
    fn nothing_is_masked_where_nothing_is_secret() {
        assert_eq!(masked(&["", "abc"], &["abc", " is short"]), ["abc", " is short", ""]);
    }
}
