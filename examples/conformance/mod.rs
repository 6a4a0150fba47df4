//! What the conformance suite wants a server to have, laid over a real handler: everything that has no fixture's name
//! goes to the handler inside.
//!
//! The texts, names and shapes are the suite's own; it compares them. Logging and `resources/subscribe` are deprecated,
//! and it asks for them all the same.
#![allow(deprecated)]
mod content;
mod questions;
mod reading;
mod tools;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, CustomRequest,
    CustomResult, ErrorData, GetPromptRequestParams, GetPromptResponse, JsonObject, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, RequestId, RequestStateCodec, ServerConfig,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext, SubscriptionSink};
use rmcp::{RoleServer, ServerHandler};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unsaid::error::{Result, internal};

/// A handler with the fixtures beside what it has itself.
pub struct Fixtures<H> {
    inner: H,
    shared: Arc<Shared>,
}

/// What one connection knows of the others.
pub struct Shared {
    codec: RequestStateCodec,
    listeners: Mutex<HashMap<RequestId, SubscriptionSink>>,
}

impl Shared {
    fn listeners(&self) -> MutexGuard<'_, HashMap<RequestId, SubscriptionSink>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: ServerHandler> Fixtures<H> {
    /// Fails with `internal` when the operating system gives no random bytes.
    pub fn new(inner: H) -> Result<Self> {
        let mut key = [0u8; 32];
        getrandom::fill(&mut key).map_err(|e| internal("there are no random bytes").because(e))?;
        let codec = RequestStateCodec::try_new(key).map_err(|_| internal("the sealing key was refused"))?;
        Ok(Self { inner, shared: Arc::new(Shared { codec, listeners: Mutex::default() }) })
    }

    /// The same fixtures over another connection's handler.
    pub fn over(&self, inner: H) -> Self {
        Self { inner, shared: self.shared.clone() }
    }
}

impl<H: Clone> Clone for Fixtures<H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<H: ServerHandler> ServerHandler for Fixtures<H> {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.inner.get_info();
        let has = &mut info.capabilities;
        has.tools.get_or_insert_default().list_changed = Some(true);
        has.prompts.get_or_insert_default().list_changed = Some(true);
        has.resources.get_or_insert_default().subscribe = Some(true);
        has.logging = Some(JsonObject::new());
        info
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut listed = self.inner.list_tools(page, cx).await?;
        listed.tools.extend(tools::all());
        Ok(listed)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all().into_iter().find(|tool| tool.name == name).or_else(|| self.inner.get_tool(name))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match tools::is_fixture(&request.name) {
            true => tools::call(&self.shared, &request, &cx).await,
            false => self.inner.call_tool(request, cx).await,
        }
    }

    async fn list_prompts(
        &self,
        page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut listed = self.inner.list_prompts(page, cx).await?;
        listed.prompts.extend(reading::prompts());
        Ok(listed)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        match reading::find_prompt(&request) {
            Some(prompt) => Ok(prompt),
            None => self.inner.get_prompt(request, cx).await,
        }
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut listed = self.inner.list_resources(page, cx).await?;
        listed.resources.extend(reading::resources());
        Ok(listed)
    }

    async fn list_resource_templates(
        &self,
        page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut listed = self.inner.list_resource_templates(page, cx).await?;
        listed.resource_templates.push(reading::template());
        Ok(listed)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match reading::find_resource(&request.uri) {
            Some(found) => Ok(found),
            None => self.inner.read_resource(request, cx).await,
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        match reading::completes(&request) {
            true => Ok(CompleteResult::default()),
            false => self.inner.complete(request, cx).await,
        }
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.inner.on_custom_request(request, cx).await
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, wanted: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(wanted.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let sink = subscription.sink().clone();
        let id = sink.id().clone();
        self.shared.listeners().insert(id.clone(), sink);
        subscription.cancelled().await;
        self.shared.listeners().remove(&id);
        Ok(())
    }
}
