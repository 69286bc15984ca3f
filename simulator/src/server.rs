//! The RTSP server: one mount per camera, and the hooks that count clients and refuse them.
//!
//! ```text
//!   feeder -> appsrc ! payloader        one pipeline per camera while it has clients, shared by them
//!                         |
//!   libgstrtspserver: RTP over UDP or interleaved in TCP, RTCP, sessions, authentication
//! ```
//!
//! All RTSP requests and all commands run on the main context's thread. So nothing here races with a client being
//! closed; the price is that a DESCRIBE delays the next one by a few milliseconds.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gstreamer as gst;
use gstreamer_app::AppSrc;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::{
    gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans, RTSPStatusCode},
    prelude::*,
};

use crate::{
    camera::Camera,
    clip::Clip,
    command::{Answer, CameraStatus, Command, Fault, Target, camera_index, camera_name},
    ledger::{ConnectionId, Ledger},
    options::Credentials,
};

/// RTSP sessions at the same time, over all cameras; more are answered 503.
const MAX_SESSIONS: u32 = 10_000;
/// How often sessions that timed out are swept, in seconds. The timeout itself is the library's 60 s.
const SWEEP_SECONDS: u32 = 2;
/// Socket buffer for RTP over UDP: a 1080p key frame at 4 Mbit/s is 100 to 200 kB in one burst.
const UDP_BUFFER: u32 = 512 << 10;
/// How long a closed client object is kept.
///
/// When interleaved data cannot be written, libgstrtspserver (seen in 1.22) queues `do_close` with a bare pointer to
/// the client. If the client ends by itself before that runs, memory is used after it was freed: clients that hang
/// up in the middle of a picture then crash the server, or close a stranger's socket. The queue is run in
/// milliseconds.
const AFTERLIFE: Duration = Duration::from_secs(1);
/// The role that GstRTSPAuth looks up in a factory; one for everybody who knows the password.
const ROLE: &str = "viewer";

/// Everything that hooks, commands and the feeder share.
pub struct Site {
    pub clip: Clip,
    pub cameras: Vec<Camera>,
    ledger: Mutex<Ledger>,
}

impl Site {
    pub fn new(clip: Clip, cameras: usize) -> Arc<Self> {
        Arc::new(Self {
            clip,
            cameras: (0..cameras).map(|_| Camera::default()).collect(),
            ledger: Mutex::new(Ledger::new(cameras)),
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ledger and tells every camera whether it still has an audience.
    fn record(&self, change: impl FnOnce(&mut Ledger)) {
        let playing = {
            let mut ledger = self.ledger();
            change(&mut ledger);
            ledger.playing()
        };
        for (camera, sessions) in self.cameras.iter().zip(playing) {
            camera.set_playing(sessions > 0);
        }
    }

    /// The camera that a request is for. Control URLs (`/cam1/stream=0`) belong to their camera.
    fn camera_of(&self, context: &rtsp::RTSPContext) -> Option<usize> {
        let components = context.uri()?.decode_path_components();
        camera_index(components.get(1)?).filter(|index| *index < self.cameras.len())
    }

    /// Notes what a connection asks for, and answers 503 when the camera refuses.
    fn admit(&self, client: &rtsp::RTSPClient, context: &rtsp::RTSPContext) -> RTSPStatusCode {
        let Some(camera) = self.camera_of(context) else { return RTSPStatusCode::Ok };
        if self.cameras[camera].fault() == Fault::Refuse {
            return RTSPStatusCode::ServiceUnavailable;
        }
        self.ledger().asked(id(client), camera);
        RTSPStatusCode::Ok
    }

    fn stopped(&self, context: &rtsp::RTSPContext) {
        let session = context.session().and_then(|session| session.sessionid());
        if let (Some(session), Some(camera)) = (session, self.camera_of(context)) {
            self.record(|ledger| ledger.stopped(&session, camera));
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: SocketAddr, reason: String },
    #[error("the RTSP library lacks {0}")]
    Library(&'static str),
}

/// The server, listening once it exists.
#[derive(Clone)]
pub struct Server {
    rtsp: rtsp::RTSPServer,
    site: Arc<Site>,
    address: SocketAddr,
}

impl Server {
    /// Binds the port and hooks into the default main context, which must be run for clients to be served.
    pub fn start(site: Arc<Site>, listen: SocketAddr, credentials: Option<&Credentials>) -> Result<Self, ServerError> {
        let rtsp = rtsp::RTSPServer::new();
        rtsp.set_address(&listen.ip().to_string());
        rtsp.set_service(&listen.port().to_string());
        rtsp.set_auth(credentials.map(auth).as_ref());
        // Zero threads of its own: clients are served on the main context.
        let threads = rtsp.thread_pool().ok_or(ServerError::Library("a thread pool"))?;
        threads.set_max_threads(0);

        let mounts = rtsp.mount_points().ok_or(ServerError::Library("mount points"))?;
        for index in 0..site.cameras.len() {
            mounts.add_factory(&format!("/{}", camera_name(index)), factory(&site, index));
        }
        watch_sessions(&rtsp, &site)?;
        watch_clients(&rtsp, &site);

        rtsp.attach(None).map_err(|_| {
            // attach() keeps the reason to itself; the same steps by hand tell it.
            let reason = match rtsp.create_socket(rtsp::gio::Cancellable::NONE) {
                Ok(_) => "the port was in use a moment ago".to_owned(),
                Err(error) => error.message().to_owned(),
            };
            ServerError::Listen { address: listen, reason }
        })?;
        let port = u16::try_from(rtsp.bound_port()).map_err(|_| ServerError::Library("a bound port"))?;
        Ok(Self { rtsp, site, address: SocketAddr::new(listen.ip(), port) })
    }

    /// The ready line. Names the loopback address when listening on all.
    pub fn ready(&self) -> Answer {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let urls =
            (0..self.site.cameras.len()).map(|index| format!("rtsp://{address}/{}", camera_name(index))).collect();
        Answer::Ready { ready: true, port: address.port(), urls }
    }

    /// Carries out a command. To be called on the main context. [`Command::Quit`] is the caller's to carry out.
    pub fn execute(&self, command: Command) -> Answer {
        let done = |closed| Answer::Done { ok: true, closed };
        match command {
            Command::Status => self.status(),
            Command::Freeze(target) => {
                self.set_fault(target, Fault::Freeze);
                done(0)
            }
            Command::Resume(target) => {
                self.set_fault(target, Fault::None);
                done(0)
            }
            Command::Refuse(target) => {
                self.set_fault(target, Fault::Refuse);
                done(self.close(target))
            }
            Command::Close(target) => done(self.close(target)),
            Command::Quit => done(0),
        }
    }

    fn set_fault(&self, target: Target, fault: Fault) {
        let cameras = self.site.cameras.iter().enumerate();
        for (_, camera) in cameras.filter(|(index, _)| target.includes(*index)) {
            camera.set_fault(fault);
        }
    }

    /// Closes the connections that have asked for one of the cameras and returns how many.
    fn close(&self, target: Target) -> usize {
        // Decided before closing: closing calls back into the ledger.
        let doomed = self.site.ledger().connections_of(|camera| target.includes(camera));
        let mut closed = 0;
        self.rtsp.client_filter(Some(&mut |_, client| {
            if doomed.contains(&id(client)) {
                closed += 1;
                rtsp::RTSPFilterResult::Remove
            } else {
                rtsp::RTSPFilterResult::Keep
            }
        }));
        closed
    }

    fn status(&self) -> Answer {
        let ledger = self.site.ledger();
        let playing = ledger.playing();
        let cameras = self.site.cameras.iter().zip(playing).enumerate().map(|(index, (camera, playing))| {
            let snapshot = camera.snapshot();
            CameraStatus {
                path: format!("/{}", camera_name(index)),
                playing,
                played_total: ledger.played_total(index),
                fault: snapshot.fault,
                media: snapshot.media,
                frames_sent: snapshot.frames_sent,
                frames_dropped: snapshot.frames_dropped,
            }
        });
        Answer::Status { cameras: cameras.collect(), connections: ledger.connections() }
    }
}

/// The address of the client object, which is its own until the `closed` signal has ended it in the ledger.
fn id(client: &rtsp::RTSPClient) -> ConnectionId {
    client.as_ptr().addr()
}

/// Basic and Digest; whoever knows the password has [`ROLE`].
fn auth(credentials: &Credentials) -> rtsp::RTSPAuth {
    let Credentials { username, password } = credentials;
    let auth = rtsp::RTSPAuth::new();
    let token = rtsp::RTSPToken::builder().field(rtsp::RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE).build();
    // The library takes a mask of GST_RTSP_AUTH_BASIC (1) and GST_RTSP_AUTH_DIGEST (2); the binding has it as an
    // enumeration in which both together have no name.
    auth.set_supported_methods(RTSPAuthMethod::__Unknown(3));
    auth.add_basic(&rtsp::RTSPAuth::make_basic(username, password), &token);
    auth.add_digest(username, password, &token);
    auth
}

/// Makes the pipeline of camera `index` when its first client comes and lets it go when its last one leaves.
fn factory(site: &Arc<Site>, index: usize) -> rtsp::RTSPMediaFactory {
    let factory = rtsp::RTSPMediaFactory::new();
    factory.set_launch(site.clip.codec.launch_line());
    factory.set_shared(true);
    factory.set_protocols(RTSPLowerTrans::UDP | RTSPLowerTrans::TCP);
    factory.set_buffer_size(UDP_BUFFER);
    factory.add_role_from_structure(
        &gst::Structure::builder(ROLE)
            .field(rtsp::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
            .field(rtsp::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
            .build(),
    );
    let site = Arc::clone(site);
    factory.connect_media_configure(move |_, media| {
        let source = media
            .element()
            .downcast::<gst::Bin>()
            .ok()
            .and_then(|bin| bin.by_name("clip"))
            .and_then(|element| element.downcast::<AppSrc>().ok());
        // Codec::launch_line names the source; without one the client's DESCRIBE times out.
        let Some(source) = source else { return };
        let (site, weak) = (Arc::clone(&site), source.downgrade());
        site.cameras[index].attach(source, &site.clip);
        media.connect_unprepared(move |_| {
            if let Some(source) = weak.upgrade() {
                site.cameras[index].detach(&source);
            }
        });
    });
    factory
}

fn watch_sessions(rtsp: &rtsp::RTSPServer, site: &Arc<Site>) -> Result<(), ServerError> {
    let pool = rtsp.session_pool().ok_or(ServerError::Library("a session pool"))?;
    pool.set_max_sessions(MAX_SESSIONS);
    let site = Arc::clone(site);
    pool.connect_session_removed(move |_, session| {
        if let Some(session) = session.sessionid() {
            site.record(|ledger| ledger.session_ended(&session));
        }
    });
    gst::glib::timeout_add_seconds(SWEEP_SECONDS, move || {
        pool.cleanup();
        gst::glib::ControlFlow::Continue
    });
    Ok(())
}

fn watch_clients(rtsp: &rtsp::RTSPServer, site: &Arc<Site>) {
    let site = Arc::clone(site);
    rtsp.connect_client_connected(move |_, client| {
        site.ledger().connected(id(client));
        let on = || Arc::clone(&site);

        let site = on();
        client.connect_pre_describe_request(move |client, context| site.admit(client, context));
        let site = on();
        client.connect_pre_setup_request(move |client, context| site.admit(client, context));
        let site = on();
        client.connect_play_request(move |client, context| {
            let session = context.session().and_then(|session| session.sessionid());
            if let (Some(session), Some(camera)) = (session, site.camera_of(context)) {
                site.record(|ledger| ledger.played(id(client), &session, camera));
            }
        });
        let site = on();
        client.connect_pause_request(move |_, context| site.stopped(context));
        let site = on();
        client.connect_teardown_request(move |_, context| site.stopped(context));
        let site = on();
        client.connect_closed(move |client| {
            site.record(|ledger| ledger.closed(id(client)));
            let client = client.clone();
            gst::glib::timeout_add_once(AFTERLIFE, move || drop(client));
        });
    });
}
