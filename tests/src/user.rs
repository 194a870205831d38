use castari_common::agents::{Agent, CreateAgent};
use castari_common::{BASE_PATH, Client};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::server::{answer, impatient};
use crate::{Answer, Castari, Issuer, Options};

/// A user of a server who shows a token.
pub struct User {
    token: String,
    url: String,
    client: Client,
    http: reqwest::Client,
}

impl Castari {
    /// Starts a server that has [users](Self::user) besides its owner.
    pub async fn with_users() -> Self {
        Self::with_issuer(Issuer::start().await, Options::default()).await
    }

    /// A user, whom the server knows from their first request on. Each subject is another user.
    #[must_use]
    pub fn user(&self, subject: &str) -> User {
        self.bearer(&self.issuer().token(subject))
    }

    /// Whoever it is that this token names.
    #[must_use]
    pub fn bearer(&self, token: &str) -> User {
        User {
            token: token.into(),
            url: self.url().into(),
            client: impatient(self.url(), token),
            http: reqwest::Client::new(),
        }
    }
}

impl User {
    /// A client that shows the token.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request to a path below the API's base, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{BASE_PATH}{path}", self.url);
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// `GET`s a path below the API's base.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// `POST`s JSON to a path below the API's base.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Makes an agent.
    pub async fn create(&self, slug: &str) -> Agent {
        let create = CreateAgent {
            name: slug.into(),
            slug: Some(slug.into()),
            ..CreateAgent::default()
        };
        self.client.create_agent(&create).await.unwrap()
    }
}
