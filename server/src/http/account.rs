//! `/auth`

use axum::routing::get;
use axum::{Json, Router};
use castari_common::account::Me;

use super::Api;
use super::caller::Caller;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/auth/me", get(me))
}

async fn me(Caller(me): Caller) -> Json<Me> {
    Json(me)
}
