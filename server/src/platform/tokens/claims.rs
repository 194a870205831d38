use jiff::Timestamp;
use serde_json::{Map, Value};

use super::BadToken;

/// How far the issuer's clock and ours may be apart, in seconds.
const LEEWAY: f64 = 60.0;

const MAX_SUBJECT: usize = 255;

/// The longest address that mail can be sent to has fewer.
const MAX_EMAIL: usize = 320;

/// What a token has to claim.
pub(super) struct Expected {
    pub issuer: String,
    /// `None` where any will do.
    pub audience: Option<String>,
}

/// What a token claims.
#[derive(Debug)]
pub(super) struct Claims {
    pub subject: String,
    /// `None` where the issuer does not say.
    pub email: Option<String>,
    /// Seconds since the Unix epoch, as in the token.
    expires: f64,
    not_before: Option<f64>,
}

impl Claims {
    /// Reads what a token claims and checks all but the time.
    pub fn read(payload: &Map<String, Value>, expected: &Expected) -> Result<Self, BadToken> {
        match payload.get("iss") {
            Some(Value::String(issuer)) if *issuer == expected.issuer => {}
            Some(Value::String(_)) => return Err(BadToken::Issuer),
            _ => return Err(BadToken::Claim("iss")),
        }
        if let Some(audience) = &expected.audience {
            check_audience(payload.get("aud"), audience)?;
        }
        Ok(Self {
            subject: text(payload.get("sub"), MAX_SUBJECT).ok_or(BadToken::Claim("sub"))?,
            email: match payload.get("email") {
                None | Some(Value::Null) => None,
                Some(Value::String(email)) if email.is_empty() => None,
                given => Some(text(given, MAX_EMAIL).ok_or(BadToken::Claim("email"))?),
            },
            expires: time(payload.get("exp")).ok_or(BadToken::Claim("exp"))?,
            not_before: match payload.get("nbf") {
                None => None,
                given => Some(time(given).ok_or(BadToken::Claim("nbf"))?),
            },
        })
    }

    /// Checks that a token is neither too old nor too new.
    pub fn check_time(&self, now: Timestamp) -> Result<(), BadToken> {
        let now = now.as_duration().as_secs_f64();
        if now >= self.expires + LEEWAY {
            return Err(BadToken::Expired);
        }
        if self.not_before.is_some_and(|not_before| now < not_before - LEEWAY) {
            return Err(BadToken::NotYet);
        }
        Ok(())
    }
}

fn check_audience(claimed: Option<&Value>, wanted: &str) -> Result<(), BadToken> {
    let one = std::slice::from_ref;
    let claimed = match claimed {
        Some(audience @ Value::String(_)) => one(audience),
        Some(Value::Array(audiences)) if audiences.iter().all(Value::is_string) => audiences,
        _ => return Err(BadToken::Claim("aud")),
    };
    if claimed.iter().any(|audience| audience == wanted) {
        Ok(())
    } else {
        Err(BadToken::Audience)
    }
}

/// A text that can stand for a user: not empty, not longer than allowed, and without what would garble a log.
fn text(claim: Option<&Value>, most: usize) -> Option<String> {
    let text = claim?.as_str()?;
    let is_fine = (1..=most).contains(&text.chars().count()) && !text.contains(char::is_control);
    is_fine.then(|| text.to_owned())
}

/// A time, which may have a fraction.
fn time(claim: Option<&Value>) -> Option<f64> {
    claim?.as_f64()
}
