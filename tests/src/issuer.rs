//! An issuer of tokens, whose keys are real and whose behaviour is the test's.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Options;

/// Node makes RSA keys, which ring does not.
const MAKE_KEYS: &str = "
    const crypto = require('crypto');
    const make = (kind, options) => crypto.generateKeyPairSync(kind, options).privateKey.export({format: 'jwk'});
    const [rsa, ec] = [bits => make('rsa', {modulusLength: bits}), () => make('ec', {namedCurve: 'P-256'})];
    console.log(JSON.stringify([rsa(2048), rsa(2048), rsa(1024), ec(), ec()]));
";

/// Node signs with RSA keys that ring refuses.
const SIGN: &str = "
    const [key, signed] = [JSON.parse(process.argv[1]), Buffer.from(process.argv[2])];
    console.log(require('crypto').sign('sha256', signed, {key, format: 'jwk'}).toString('base64url'));
";

/// A key that an issuer signs with.
pub struct Key {
    id: &'static str,
    jwk: Value,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    /// Only node signs with it.
    Small,
}

/// Keys of every kind, made once a run.
pub struct Keys {
    /// RSA, 2048 bits.
    pub rsa: Key,
    /// Another such.
    pub other_rsa: Key,
    /// RSA, 1024 bits, as nobody should have any more.
    pub small_rsa: Key,
    /// On P-256.
    pub ec: Key,
    /// Another such.
    pub other_ec: Key,
}

/// The keys.
pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let made: [Value; 5] = serde_json::from_str(&node(&[MAKE_KEYS])).unwrap();
        let [rsa, other_rsa, small_rsa, ec, other_ec] = made;
        Keys {
            rsa: Key::rsa("rsa", rsa),
            other_rsa: Key::rsa("other-rsa", other_rsa),
            small_rsa: Key {
                id: "small-rsa",
                jwk: small_rsa,
                pair: Pair::Small,
            },
            ec: Key::ec("ec", ec),
            other_ec: Key::ec("other-ec", other_ec),
        }
    })
}

fn node(args: &[&str]) -> String {
    let output = Command::new("node").arg("-e").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bytes(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
}

impl Key {
    fn rsa(id: &'static str, jwk: Value) -> Self {
        let part = |name| -> Vec<u8> { bytes(&jwk, name).into_iter().skip_while(|byte| *byte == 0).collect() };
        let pair = RsaKeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents {
                n: part("n"),
                e: part("e"),
            },
            d: part("d"),
            p: part("p"),
            q: part("q"),
            dP: part("dp"),
            dQ: part("dq"),
            qInv: part("qi"),
        });
        let pair = Pair::Rsa(pair.unwrap());
        Self { id, jwk, pair }
    }

    fn ec(id: &'static str, jwk: Value) -> Self {
        let public = [&[4][..], &bytes(&jwk, "x"), &bytes(&jwk, "y")].concat();
        let (kind, private) = (&ECDSA_P256_SHA256_FIXED_SIGNING, bytes(&jwk, "d"));
        let pair = EcdsaKeyPair::from_private_key_and_public_key(kind, &private, &public, &SystemRandom::new());
        let pair = Pair::Ec(pair.unwrap());
        Self { id, jwk, pair }
    }

    /// The key's public half, as an issuer publishes it.
    #[must_use]
    pub fn published(&self) -> Value {
        let mut public = json!({"kid": self.id, "use": "sig", "alg": self.algorithm()});
        for name in ["kty", "n", "e", "crv", "x", "y"] {
            if let Some(part) = self.jwk.get(name) {
                public[name] = part.clone();
            }
        }
        public
    }

    /// The header of a token that this key signs.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"})
    }

    /// A token with this key's own header.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with whatever header.
    #[must_use]
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |signed| self.sign(signed))
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ec(_) => "ES256",
            _ => "RS256",
        }
    }

    /// A signature of this key.
    #[must_use]
    pub fn sign(&self, signed: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = signed.as_bytes();
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Small => {
                let signature = node(&[SIGN, &self.jwk.to_string(), signed]);
                URL_SAFE_NO_PAD.decode(signature.trim()).unwrap()
            }
        }
    }
}

/// A token whose signature is whatever `sign` makes of what is to be signed.
pub fn token(header: &Value, claims: &Value, sign: impl FnOnce(&str) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(&signed));
    format!("{signed}.{signature}")
}

/// The time, in whole seconds since the Unix epoch.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the server under test lives in real time")]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().cast_signed()
}

/// What an issuer answers who asks for its keys.
#[derive(Clone)]
pub enum Reply {
    /// A status and a body.
    Body(u16, String),
    /// Look there instead.
    Redirect(String),
    /// Nothing, for ever.
    Hang,
}

/// An issuer, which counts how often it is asked for its keys at `/keys`. What it publishes is always at `/published`.
pub struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<Asked>>,
}

struct Asked {
    published: String,
    /// `None` for what is published.
    reply: Option<Reply>,
    count: usize,
}

impl Issuer {
    /// An issuer that publishes [`Keys::rsa`] and [`Keys::ec`].
    pub async fn start() -> Self {
        let keys = tokio::task::spawn_blocking(keys).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Asked {
            published: String::new(),
            reply: None,
            count: 0,
        }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(axum::serve(listener, router).into_future());
        let issuer = Self { address, state };
        issuer.publish(&[keys.rsa.published(), keys.ec.published()]);
        issuer
    }

    /// Publishes these keys from now on, instead of all earlier ones.
    pub fn publish(&self, keys: &[Value]) {
        let mut state = self.state.lock().unwrap();
        state.published = key_set(keys);
        state.reply = None;
    }

    /// Answers otherwise from now on.
    pub fn reply(&self, reply: Reply) {
        self.state.lock().unwrap().reply = Some(reply);
    }

    /// How often it was asked for its keys.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.state.lock().unwrap().count
    }

    /// Its name, as it stands in its tokens.
    #[must_use]
    pub fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its keys are.
    #[must_use]
    pub fn keys_url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Makes a server take its tokens.
    #[must_use]
    pub fn options(&self) -> Options {
        let options = Options::default().env("CASTARI_JWT_ISSUER", &self.name());
        options.env("CASTARI_JWT_JWKS", &self.keys_url())
    }

    /// What a good token of a user claims; it holds for an hour.
    #[must_use]
    pub fn claims(&self, subject: &str) -> Value {
        json!({
            "iss": self.name(),
            "sub": subject,
            "email": format!("{subject}@example.com"),
            "iat": now(),
            "exp": now() + 3600,
        })
    }

    /// A good token of a user.
    #[must_use]
    pub fn token(&self, subject: &str) -> String {
        keys().rsa.token(&self.claims(subject))
    }
}

/// A JSON Web Key Set.
#[must_use]
pub fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

async fn answer(State(state): State<Arc<Mutex<Asked>>>, uri: Uri) -> Response {
    let reply = {
        let mut state = state.lock().unwrap();
        state.count += usize::from(uri.path() == "/keys");
        let other = state.reply.clone().filter(|_| uri.path() == "/keys");
        other.unwrap_or_else(|| Reply::Body(200, state.published.clone()))
    };
    match reply {
        Reply::Body(status, body) => {
            let headers = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
        }
        Reply::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Reply::Hang => std::future::pending().await,
    }
}
