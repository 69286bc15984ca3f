//! Changes of links: one at a time, the store first and the directory after it, to the end even when the client has
//! gone meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rsm_viewing::http::problem::Problem;
use rsm_viewing::relay::slot::StreamEnd;
use tracing::{error, info, warn};

use crate::app::App;
use crate::directory::Entry;
use crate::store::StoreError;
use crate::store::links::{CameraLink, LinkSettings};

/// Time that a change waits for those before it: as long as one call to the store may take, and a little.
const TURN: Duration = Duration::from_secs(6);
/// Between two tries to read the links again.
const REREAD: Duration = Duration::from_secs(2);

/// Registers a camera.
///
/// # Errors
/// 409 at the limit; as the store says.
pub async fn add(app: &Arc<App>, slug_label: String, settings: LinkSettings) -> Result<CameraLink, Problem> {
    in_turn(app, move |app| async move {
        let link = app.store.add_link(slug_label, settings, app.viewing.config.api.max_links).await?;
        app.directory.put(link.clone());
        Ok(link)
    })
    .await
}

/// Registers many cameras, or none: each with the text that its slug is made from.
///
/// # Errors
/// As [`add`].
pub async fn add_many(app: &Arc<App>, new: Vec<(String, LinkSettings)>) -> Result<Vec<CameraLink>, Problem> {
    in_turn(app, move |app| async move {
        let links = app.store.add_links(new, app.viewing.config.api.max_links).await?;
        links.iter().for_each(|link| drop(app.directory.put(link.clone())));
        Ok(links)
    })
    .await
}

/// Changes the settings of a link: `settle` makes the new settings from those that hold when its turn comes.
///
/// # Errors
/// As `settle` says; 404 when the link is gone; as the store says.
pub async fn change<F>(app: &Arc<App>, entry: &Arc<Entry>, settle: F) -> Result<(), Problem>
where
    F: FnOnce(&CameraLink) -> Result<LinkSettings, Problem> + Send + 'static,
{
    let entry = entry.clone();
    in_turn(app, move |app| async move {
        let link = entry.link();
        let settings = settle(&link).map_err(ChangeError::Refused)?;
        if settings == link.settings {
            return Ok(());
        }
        let link = app
            .store
            .change_link(link.id, settings, app.viewing.config.hls.params())
            .await?
            .ok_or(ChangeError::Unknown)?;
        app.directory.put(link);
        Ok(())
    })
    .await
}

/// Starts or stops a stream.
///
/// # Errors
/// 404 when the link is gone; as the store says.
pub async fn enable(app: &Arc<App>, entry: &Arc<Entry>, enabled: bool) -> Result<(), Problem> {
    let entry = entry.clone();
    in_turn(app, move |app| async move {
        let link = app.store.enable_link(entry.link().id, enabled).await?.ok_or(ChangeError::Unknown)?;
        app.directory.put(link);
        if !enabled {
            entry.demand.clear();
            app.viewing.hub.end(&entry.slug, StreamEnd::Stopped);
            app.viewing.desk.changed().notify_one();
        }
        Ok(())
    })
    .await
}

/// Removes a camera.
///
/// # Errors
/// 404 when it is gone already; as the store says.
pub async fn remove(app: &Arc<App>, entry: &Arc<Entry>) -> Result<(), Problem> {
    let entry = entry.clone();
    in_turn(app, move |app| async move {
        let id = entry.link().id;
        let was_there = app.store.remove_link(id).await?;
        app.directory.remove(id);
        app.viewing.hub.end(&entry.slug, StreamEnd::Removed);
        app.viewing.desk.changed().notify_one();
        if was_there { Ok(()) } else { Err(ChangeError::Unknown) }
    })
    .await
}

enum ChangeError {
    Refused(Problem),
    Unknown,
    Store(StoreError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn in_turn<T, Fut>(app: &Arc<App>, work: impl FnOnce(Arc<App>) -> Fut + Send + 'static) -> Result<T, Problem>
where
    T: Send + 'static,
    Fut: Future<Output = Result<T, ChangeError>> + Send,
{
    let app = app.clone();
    // A task of its own: a client that hangs up must not leave the directory behind the store.
    let task = tokio::spawn(async move {
        let busy = || Problem::from(StoreError::Busy);
        let _turn = tokio::time::timeout(TURN, app.changes.turn.lock()).await.map_err(|_| busy())?;
        match work(app.clone()).await {
            Ok(value) => Ok(value),
            Err(ChangeError::Refused(problem)) => Err(problem),
            Err(ChangeError::Unknown) => Err(Problem::unknown_stream()),
            Err(ChangeError::Store(StoreError::Busy)) => {
                reread(&app);
                Err(busy())
            }
            Err(ChangeError::Store(e)) => Err(e.into()),
        }
    });
    task.await.map_err(|e| {
        error!(error = %e, "a change of a link ended unexpectedly");
        Problem::internal()
    })?
}

/// A call that was given up may still be carried out: brings the directory in line with the store, once it answers.
fn reread(app: &Arc<App>) {
    if app.changes.rereading.swap(true, Ordering::AcqRel) {
        return;
    }
    warn!("the database did not answer in time; reading the links again until it does");
    let app = app.clone();
    tokio::spawn(async move {
        let mut again = true;
        while again && !app.viewing.stop.is_cancelled() {
            tokio::time::sleep(REREAD).await;
            let _turn = app.changes.turn.lock().await;
            if let Ok(links) = app.store.links().await {
                align(&app, links);
                info!("the database answers again");
                again = false;
            }
        }
        app.changes.rereading.store(false, Ordering::Release);
    });
}

/// `links` are by id, as the store gives them.
pub(super) fn align(app: &App, links: Vec<CameraLink>) {
    for entry in app.directory.all() {
        let id = entry.link().id;
        if links.binary_search_by_key(&id, |link| link.id).is_err() {
            app.directory.remove(id);
            app.viewing.hub.end(&entry.slug, StreamEnd::Removed);
        }
    }
    for link in links {
        if app.directory.by_id(link.id).is_none_or(|entry| *entry.link() != link) {
            if !link.enabled {
                app.viewing.hub.end(&link.slug, StreamEnd::Stopped);
            }
            app.directory.put(link);
        }
    }
}
