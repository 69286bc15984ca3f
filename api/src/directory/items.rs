//! The API's descriptions of streams for clients that list or follow them.

use rsm_viewing::hls::players::Players;
use rsm_viewing::routes::camera_items::CameraItems;

use super::links::Directory;
use super::shown::show;

/// Describes streams with their links.
pub struct LinkItems(pub Directory);

impl CameraItems for LinkItems {
    fn item(&self, slug: &str, players: &Players) -> Option<String> {
        let entry = self.0.by_slug(slug)?;
        // A struct of texts and numbers: serialising it cannot fail.
        Some(serde_json::to_string(&show(&entry, players)).unwrap_or_default())
    }
}
