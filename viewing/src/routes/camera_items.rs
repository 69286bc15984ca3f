//! Descriptions of streams for clients that list or follow them.

use super::shown::show_stream;
use crate::hls::players::Players;
use crate::streams::Streams;

/// Makes an item of `GET /video/`. The API describes a stream with its link, a relay without.
pub trait CameraItems: Send + Sync {
    /// The item of the stream of that slug as JSON text on one line; `None` when there is no such stream.
    fn item(&self, slug: &str, players: &Players) -> Option<String>;
}

/// Describes streams without their links.
pub struct PublicItems(pub Streams);

impl CameraItems for PublicItems {
    fn item(&self, slug: &str, players: &Players) -> Option<String> {
        let stream = self.0.by_slug(slug)?;
        // A struct of texts and numbers: serialising it cannot fail.
        Some(serde_json::to_string(&show_stream(&stream, players)).unwrap_or_default())
    }
}
