//! The people of a room, as others see them.
//!
//! Does not know: how a user proves who they are, or what a role allows.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a user may do and how the page marks them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Watches, comments, likes; has no account.
    #[default]
    Guest,
    Viewer,
    Vip,
    Moderator,
    Host,
}

/// Who did it, as others see them. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: Arc<str>,
    pub name: Arc<str>,
    /// Left out on the wire for guests.
    #[serde(default, skip_serializing_if = "is_guest")]
    pub role: Role,
}

fn is_guest(role: &Role) -> bool {
    *role == Role::Guest
}
