//! The routes, each with its description: the document of the API is made from the same functions that serve it, so
//! that no route can be undocumented, and none be documented otherwise than it behaves.

mod describe;
mod document;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::Api;
pub(super) use describe::{Answer, Describe, Input, Operation};
pub(super) use document::document;

/// Routes and what there is to say about them.
#[derive(Default)]
pub(super) struct Routes(Vec<(MethodRouter<Api>, Operation)>);

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
        self.0.push((on(filter, handler), operation));
        self
    }

    /// These routes and those.
    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// These routes, below a path.
    pub fn below(mut self, base: &str) -> Self {
        for (_, operation) in &mut self.0 {
            operation.path.insert_str(0, base);
        }
        self
    }

    /// The router, and the descriptions of its routes.
    pub fn into_parts(self) -> (Router<Api>, Vec<Operation>) {
        let mut router = Router::new();
        let mut operations = Vec::with_capacity(self.0.len());
        for (handler, operation) in self.0 {
            router = router.route(&operation.path, handler);
            operations.push(operation);
        }
        (router, operations)
    }
}
