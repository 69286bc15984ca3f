//! The tasks of control: one runs the arbiter ([`reconciler`]), short ones carry out its commands ([`execute`]), and
//! [`nats_watch`] keeps NATS in shape. The decisions are in `rsm_control::api`.

pub mod client_view;
pub mod execute;
pub mod intents;
pub mod nats_watch;
pub mod reconciler;
