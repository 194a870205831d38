use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Picodollars in a dollar.
const DOLLAR: u64 = 1_000_000_000_000;

/// How many decimals a dollar has in picodollars.
const DECIMALS: usize = 12;

/// An amount of US dollars, exact to 10⁻¹² of a dollar. Prices of a million tokens have up to six decimals, so that the
/// price of one token has up to twelve.
///
/// On the wire it is a decimal string without superfluous zeros, such as `"0.0214"`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Usd(u64);

/// A text that is no amount of money.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an amount of dollars")]
pub struct NotMoney;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many picodollars.
    #[must_use]
    pub const fn from_picodollars(picodollars: u64) -> Self {
        Self(picodollars)
    }

    /// The amount in picodollars.
    #[must_use]
    pub const fn picodollars(self) -> u64 {
        self.0
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        // By way of the text, as a division of a large amount would round twice.
        self.to_string().parse().unwrap_or_default()
    }
}

impl std::ops::Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, std::ops::Add::add)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / DOLLAR)?;
        let fraction = format!("{:0DECIMALS$}", self.0 % DOLLAR);
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            digits => write!(f, ".{digits}"),
        }
    }
}

impl FromStr for Usd {
    type Err = NotMoney;

    /// Reads decimals; what is below a picodollar is dropped.
    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return Err(NotMoney);
        }
        let kept = &fraction[..fraction.len().min(DECIMALS)];
        let fraction: u64 = format!("{kept:0<DECIMALS$}").parse().map_err(|_| NotMoney)?;
        let whole: u64 = whole.parse().map_err(|_| NotMoney)?;
        let sum = whole
            .checked_mul(DOLLAR)
            .and_then(|picodollars| picodollars.checked_add(fraction));
        sum.map(Self).ok_or(NotMoney)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_plainly() {
        for (picodollars, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (21_400_000_000, "0.0214"),
            (DOLLAR, "1"),
            (12 * DOLLAR + DOLLAR / 2, "12.5"),
            (u64::MAX, "18446744.073709551615"),
        ] {
            let amount = Usd::from_picodollars(picodollars);
            assert_eq!(amount.to_string(), text);
            assert_eq!(text.parse(), Ok(amount));
        }
    }

    #[test]
    fn what_others_write_is_read() {
        for (text, picodollars) in [("0.0214000", 21_400_000_000), ("3", 3 * DOLLAR), ("0.0000000000019", 1)] {
            assert_eq!(text.parse(), Ok(Usd::from_picodollars(picodollars)), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0x1", "1.2.3", "99999999999999"] {
            assert_eq!(text.parse::<Usd>(), Err(NotMoney), "{text}");
        }
    }

    #[test]
    fn tenths_add_up() {
        let tenth: Usd = "0.1".parse().unwrap();
        let sum: Usd = std::iter::repeat_n(tenth, 3).sum();
        assert_eq!((sum.to_string().as_str(), sum.to_f64()), ("0.3", 0.3));
    }
}
