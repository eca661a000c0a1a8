//! What taking on a configuration would do.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::problem::Problem;
use crate::core::plan::{EndpointPlan, Plan, SourcePlan};
use crate::core::source::FirstPoll;

/// Which configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanOrder {
    /// Absent: the file that the one in force was read from.
    config: Option<PathBuf>,
}

pub(super) async fn show(
    State(context): State<Shared>,
    Json(order): Json<PlanOrder>,
) -> Result<Json<PlanView>, Problem> {
    Ok(Json(PlanView::of(&context.operations.plan(order.config).await?)))
}

#[derive(Debug, Serialize)]
pub(super) struct PlanView {
    sources: Vec<SourcePlanView>,
    endpoints: Vec<EndpointPlanView>,
    /// That holds after a restart only.
    server_changed: bool,
}

#[derive(Debug, Serialize)]
struct SourcePlanView {
    name: String,
    fate: &'static str,
    /// The keys that are the reason, where they are known.
    keys: Vec<String>,
    /// The name under which its state is found, if that is another one.
    was: Option<String>,
    /// What its first poll does; null if it has state.
    first_poll: Option<&'static str>,
    /// Items known.
    items: u64,
    /// Deliveries that are not settled.
    waiting: u64,
    sentence: String,
}

#[derive(Debug, Serialize)]
struct EndpointPlanView {
    name: String,
    fate: &'static str,
    keys: Vec<String>,
    was: Option<String>,
    waiting: u64,
    sentence: String,
}

impl PlanView {
    fn of(plan: &Plan) -> Self {
        Self {
            sources: plan.sources.iter().map(SourcePlanView::of).collect(),
            endpoints: plan.endpoints.iter().map(EndpointPlanView::of).collect(),
            server_changed: plan.server_changed,
        }
    }
}

impl SourcePlanView {
    fn of(plan: &SourcePlan) -> Self {
        Self {
            name: plan.name.to_string(),
            fate: plan.fate.as_str(),
            keys: plan.keys.clone(),
            was: plan.was.as_ref().map(ToString::to_string),
            first_poll: plan.first_poll.map(|first| match first {
                FirstPoll::Baseline => "baseline",
                FirstPoll::Emit => "emit",
            }),
            items: plan.holding.items,
            waiting: plan.holding.waiting,
            sentence: plan.sentence(),
        }
    }
}

impl EndpointPlanView {
    fn of(plan: &EndpointPlan) -> Self {
        Self {
            name: plan.name.to_string(),
            fate: plan.fate.as_str(),
            keys: plan.keys.clone(),
            was: plan.was.as_ref().map(ToString::to_string),
            waiting: plan.waiting,
            sentence: plan.sentence(),
        }
    }
}
