//! The routes, each with its description: the document of the API is made from the same functions that serve it, so
//! that no route can be undocumented, and none be documented otherwise than it behaves.

mod describe;
mod document;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::Api;
pub(super) use describe::{Answer, Describe, Input, Operation};
pub(super) use document::document;

/// Routes and what there is to say about them.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Api>,
    operations: Vec<Operation>,
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    /// A `GET` route. The document lists what `handler` takes and answers under `summary`.
    pub fn get<H: Handler<T, Api> + Describe<D>, T: 'static, D>(
        self,
        path: &str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        self.route(Method::GET, MethodFilter::GET, path, summary, handler)
    }

    /// As [`Routes::get`], for `POST`.
    pub fn post<H: Handler<T, Api> + Describe<D>, T: 'static, D>(
        self,
        path: &str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        self.route(Method::POST, MethodFilter::POST, path, summary, handler)
    }

    /// As [`Routes::get`], for `PUT`.
    pub fn put<H: Handler<T, Api> + Describe<D>, T: 'static, D>(
        self,
        path: &str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        self.route(Method::PUT, MethodFilter::PUT, path, summary, handler)
    }

    /// As [`Routes::get`], for `PATCH`.
    pub fn patch<H: Handler<T, Api> + Describe<D>, T: 'static, D>(
        self,
        path: &str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        self.route(Method::PATCH, MethodFilter::PATCH, path, summary, handler)
    }

    /// As [`Routes::get`], for `DELETE`.
    pub fn delete<H: Handler<T, Api> + Describe<D>, T: 'static, D>(
        self,
        path: &str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        self.route(Method::DELETE, MethodFilter::DELETE, path, summary, handler)
    }

    fn route<H: Handler<T, Api> + Describe<D>, T: 'static, D>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        let mut operation = Operation::new(method, path, summary);
        H::describe(&mut operation);
        self.operations.push(operation);
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// These routes and those.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }

    /// These routes, with those below a path.
    pub fn nest(mut self, base: &str, other: Self) -> Self {
        self.router = self.router.nest(base, other.router);
        let below = other.operations.into_iter().map(|operation| operation.below(base));
        self.operations.extend(below);
        self
    }

    /// The router, and the descriptions of its routes.
    pub fn into_parts(self) -> (Router<Api>, Vec<Operation>) {
        (self.router, self.operations)
    }
}
