//! State that the server's hooks, the commands and the feeder share: the programme, the cameras, and their clients.

use std::sync::Arc;

use gstreamer::prelude::*;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::{gst_rtsp::RTSPStatusCode, prelude::*};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    camera::Camera,
    command::camera_index,
    feed::RtpStart,
    ledger::{ConnectionId, Ledger},
    programme::Programme,
    quirks::Fault,
};

pub struct Site {
    pub programme: Programme,
    pub cameras: Vec<Camera>,
    pub rtp_start: RtpStart,
    ledger: Mutex<Ledger>,
}

impl Site {
    pub fn new(programme: Programme, cameras: usize, rtp_start: RtpStart) -> Arc<Self> {
        Arc::new(Self {
            programme,
            cameras: (0..cameras).map(|_| Camera::default()).collect(),
            rtp_start,
            ledger: Mutex::new(Ledger::new(cameras)),
        })
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// The camera that a request is for. Control URLs (`/cam1/stream=0`) belong to their camera.
    fn camera_of(&self, context: &rtsp::RTSPContext) -> Option<usize> {
        let components = context.uri()?.decode_path_components();
        camera_index(components.get(1)?).filter(|index| *index < self.cameras.len())
    }

    /// Records the request of a connection, and answers as the camera's fault demands.
    pub fn admit(&self, client: &rtsp::RTSPClient, context: &rtsp::RTSPContext) -> RTSPStatusCode {
        let Some(camera) = self.camera_of(context) else { return RTSPStatusCode::Ok };
        match self.cameras[camera].fault() {
            Fault::None | Fault::Freeze => {}
            Fault::Refuse | Fault::Reboot => return RTSPStatusCode::ServiceUnavailable,
            Fault::Answer(status) => return status_code(status),
        }
        self.ledger().asked(id(client), camera);
        RTSPStatusCode::Ok
    }

    /// A camera that is off answers nothing but 503, not even OPTIONS.
    pub fn greet(&self, context: &rtsp::RTSPContext) -> RTSPStatusCode {
        match self.camera_of(context).map(|camera| self.cameras[camera].fault()) {
            Some(Fault::Reboot) => RTSPStatusCode::ServiceUnavailable,
            _ => RTSPStatusCode::Ok,
        }
    }

    pub fn played(&self, client: &rtsp::RTSPClient, context: &rtsp::RTSPContext) {
        let session = context.session().and_then(|session| session.sessionid());
        if let (Some(session), Some(camera)) = (session, self.camera_of(context)) {
            self.ledger().played(id(client), &session, camera);
        }
    }

    pub fn stopped(&self, context: &rtsp::RTSPContext) {
        let session = context.session().and_then(|session| session.sessionid());
        if let (Some(session), Some(camera)) = (session, self.camera_of(context)) {
            self.ledger().stopped(&session, camera);
        }
    }
}

/// The address of the client object, which is its own until the `closed` signal has ended it in the ledger.
pub fn id(client: &rtsp::RTSPClient) -> ConnectionId {
    client.as_ptr().addr()
}

/// The statuses of [`crate::command::STATUSES`].
fn status_code(status: u16) -> RTSPStatusCode {
    match status {
        401 => RTSPStatusCode::Unauthorized,
        404 => RTSPStatusCode::NotFound,
        453 => RTSPStatusCode::NotEnoughBandwidth,
        503 => RTSPStatusCode::ServiceUnavailable,
        _ => RTSPStatusCode::InternalServerError,
    }
}
