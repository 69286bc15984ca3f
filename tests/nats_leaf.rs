//! A site behind a leaf node.

use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::cluster::{Server, environment};
use crate::harness::eventually;
use crate::harness::role::Role;
use crate::harness::viewer::JpegViewer;
