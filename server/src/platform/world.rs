//! What the platform takes from the outside world: the time, and randomness.

use jiff::Timestamp;

/// Letters and digits that no reader takes for one another's neighbours in a URL.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// How many random characters stand in an id: 36 to the 20th is more than 2 to the 103rd.
const ID_CHARACTERS: usize = 20;

type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;
type Randomness = Box<dyn Fn(&mut [u8]) + Send + Sync>;

/// The time and randomness. Tests make their own.
pub struct World {
    now: Clock,
    fill: Randomness,
}

impl World {
    /// The machine's clock and its random number generator.
    ///
    /// # Panics
    /// When the kernel gives no randomness, as it never does after boot.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the one place where both come from; without randomness no key may be made"
    )]
    pub fn system() -> Self {
        let fill = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the kernel gives random bytes");
        Self::new(Timestamp::now, fill)
    }

    /// A world of one's own.
    pub fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self {
            now: Box::new(now),
            fill: Box::new(fill),
        }
    }

    /// The time, in whole microseconds, as the store keeps it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.now)();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Fills bytes with randomness.
    pub fn fill(&self, bytes: &mut [u8]) {
        (self.fill)(bytes);
    }

    /// A new id: the prefix, an underscore, random characters.
    #[must_use]
    pub fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.characters(ID_CHARACTERS))
    }

    /// Random characters of `[a-z0-9]`, each equally likely.
    #[must_use]
    pub fn characters(&self, count: usize) -> String {
        /// The highest multiple of 36 that a byte can count to: bytes above it would favour some characters.
        const FAIR: u8 = 252;
        let mut text = String::with_capacity(count);
        let mut bytes = [0; 64];
        while text.len() < count {
            (self.fill)(&mut bytes);
            let fair = bytes.iter().filter(|byte| **byte < FAIR);
            text.extend(
                fair.take(count - text.len())
                    .map(|byte| char::from(ALPHABET[usize::from(byte % 36)])),
            );
        }
        text
    }
}
