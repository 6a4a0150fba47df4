//! `list_consumers`: what there is, a page at a time.
use super::{ConsumerRow, row};
use crate::app::App;
use crate::error::{Result, invalid};
use crate::model::access::Caller;
use crate::model::consumer::{Consumer, ConsumerKind};
use crate::model::credential::Scope;
use crate::ops::{Effect, Operation, Permission, Toolset, page};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PAGE: i64 = 20;
/// How much JSON a page holds, in bytes.
const BUDGET: usize = 20_000;
/// How many are looked at for one page.
const MOST_SCANNED: usize = 5_000;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListConsumers {
    pub kind: Option<ConsumerKind>,
    pub scope: Option<Scope>,
    #[schemars(length(max = 80))]
    pub stack: Option<String>,
    /// Name or id of a credential that is bound
    #[schemars(length(max = 160))]
    pub bound_to: Option<String>,
    /// In name or description
    #[schemars(length(max = 80))]
    pub text: Option<String>,
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<i64>,
    #[schemars(length(max = 200))]
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerList {
    pub consumers: Vec<ConsumerRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl ListConsumers {
    fn fits(&self, c: &Consumer) -> bool {
        let has = |text: &str| {
            [&c.name, &c.description].iter().any(|part| part.to_lowercase().contains(&text.to_lowercase()))
        };
        self.kind.is_none_or(|kind| c.kind == kind)
            && self.scope.is_none_or(|scope| c.scope == scope)
            && self.stack.as_deref().is_none_or(|stack| c.stack.eq_ignore_ascii_case(stack.trim()))
            && self.text.as_deref().map(str::trim).is_none_or(|text| text.is_empty() || has(text))
    }
}

impl Operation for ListConsumers {
    const NAME: &'static str = "list_consumers";
    const TITLE: &'static str = "List consumers";
    const ABOUT: &'static str = "See the agents, MCP servers, workflows and integrations; or which of them are bound to a credential.";
    const TOOLSET: Toolset = Toolset::Consumers;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = ConsumerList;

    async fn run(self, app: &App, caller: &Caller) -> Result<ConsumerList> {
        let limit = match self.limit {
            None => PAGE,
            Some(n) if (1..=50).contains(&n) => n,
            Some(_) => return Err(invalid("limit is 1 to 50")),
        };
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&caller)?;
                let mut after = match &self.cursor {
                    Some(cursor) => page::read_mark(cursor)?,
                    None => Default::default(),
                };
                let (mut rows, mut size, mut scanned) = (Vec::new(), 0, 0);
                let mut last: Option<String> = None;
                loop {
                    let some = tx.consumers(&caller.org, &who, (&after.0, &after.1), limit + 1)?;
                    let is_last = (some.len() as i64) <= limit;
                    for c in &some {
                        scanned += 1;
                        if self.fits(c) {
                            let bindings = tx.bindings(&caller.org, &c.id)?;
                            let is_bound = self.bound_to.as_deref().map(str::trim).is_none_or(|wanted| {
                                bindings.iter().any(|b| b.wanted().eq_ignore_ascii_case(wanted))
                            });
                            if is_bound {
                                let one = row(tx, c, bindings.len())?;
                                let bytes = serde_json::to_string(&one)
                                    .map_err(|e| crate::error::internal("a consumer is not JSON").because(e))?
                                    .len();
                                let is_full = rows.len() as i64 == limit || size + bytes > BUDGET;
                                if is_full && !rows.is_empty() {
                                    return Ok(ConsumerList { consumers: rows, next_cursor: last });
                                }
                                size += bytes + 1;
                                rows.push(one);
                            }
                        }
                        last = Some(page::mark(&c.name_key, c.id.as_str()));
                    }
                    match some.last() {
                        Some(end) if !is_last && scanned < MOST_SCANNED => {
                            after = (end.name_key.clone(), end.id.0.clone());
                        }
                        Some(_) if !is_last => {
                            return Ok(ConsumerList { consumers: rows, next_cursor: last });
                        }
                        _ => return Ok(ConsumerList { consumers: rows, next_cursor: None }),
                    }
                }
            })
            .await
    }
}
