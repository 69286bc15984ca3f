//! The RTSP server: one mount per camera, and the hooks that count clients and refuse them.
//!
//! ```text
//!   feeder -> appsrc of RTP packets     one pipeline for each client
//!                |
//!   libgstrtspserver: RTP over UDP or interleaved in TCP, RTCP, sessions, authentication
//! ```
//!
//! All RTSP requests and all commands run on the main context's thread. So nothing here races with a client being
//! closed; the price is that a DESCRIBE delays the next one by a few milliseconds.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::prelude::*;

use crate::{
    camera::Camera,
    command::{CameraCommand, CameraStatus, CameraTarget, CommandAnswer, camera_name},
    mount,
    options::Settings,
    quirks::Fault,
    site::{Site, id},
    tls::{self, TlsError},
};

/// RTSP sessions at the same time, over all cameras; more are answered 503.
const MAX_SESSIONS: u32 = 10_000;
/// Period in which sessions that timed out are swept, in seconds. The timeout itself is the library's 60 s.
const SWEEP_SECONDS: u32 = 2;
/// Time for which a closed client object is kept.
///
/// When interleaved data cannot be written, libgstrtspserver (seen in 1.22) queues `do_close` with a bare pointer to
/// the client. If the client ends by itself before that runs, memory is used after it was freed: clients that hang
/// up in the middle of a picture then crash the server, or close a stranger's socket. The queue is run in
/// milliseconds.
const AFTERLIFE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: SocketAddr, reason: String },
    #[error("the RTSP library lacks {0}")]
    Library(&'static str),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The server, listening once it exists.
#[derive(Clone)]
pub struct RtspServer {
    rtsp: rtsp::RTSPServer,
    site: Arc<Site>,
    address: SocketAddr,
    scheme: &'static str,
}

impl RtspServer {
    /// Binds the port and hooks into the default main context, which must be run for clients to be served.
    pub fn start(site: Arc<Site>, settings: &Settings) -> Result<Self, ServerError> {
        let listen = settings.listen;
        let rtsp = rtsp::RTSPServer::new();
        rtsp.set_address(&listen.ip().to_string());
        rtsp.set_service(&listen.port().to_string());
        if settings.tls || settings.credentials.is_some() {
            let auth = mount::auth(settings.credentials.as_ref());
            if settings.tls {
                auth.set_tls_certificate(Some(&tls::certificate(listen.ip())?));
            }
            rtsp.set_auth(Some(&auth));
        }
        // Zero threads of its own: clients are served on the main context.
        let threads = rtsp.thread_pool().ok_or(ServerError::Library("a thread pool"))?;
        threads.set_max_threads(0);

        let mounts = rtsp.mount_points().ok_or(ServerError::Library("mount points"))?;
        for index in 0..site.cameras.len() {
            mounts.add_factory(&format!("/{}", camera_name(index)), mount::factory(&site, index, settings.rtcp));
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
        let scheme = if settings.tls { "rtsps" } else { "rtsp" };
        Ok(Self { rtsp, site, address: SocketAddr::new(listen.ip(), port), scheme })
    }

    /// The ready line. Names the loopback address when listening on all.
    pub fn ready(&self) -> CommandAnswer {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let urls = (0..self.site.cameras.len())
            .map(|index| format!("{}://{address}/{}", self.scheme, camera_name(index)))
            .collect();
        CommandAnswer::Ready { ready: true, port: address.port(), urls }
    }

    /// Carries out a command. To be called on the main context. [`CameraCommand::Quit`] is the caller's to carry out.
    pub fn execute(&self, command: CameraCommand) -> CommandAnswer {
        let done = |closed| CommandAnswer::Done { ok: true, closed };
        let each = |target: CameraTarget, act: &dyn Fn(&Camera)| {
            let cameras = self.site.cameras.iter().enumerate();
            cameras.filter(|(index, _)| target.includes(*index)).for_each(|(_, camera)| act(camera));
            done(0)
        };
        match command {
            CameraCommand::Status => self.status(),
            CameraCommand::Freeze(target) => each(target, &|camera| camera.set_fault(Fault::Freeze)),
            CameraCommand::Resume(target) => each(target, &Camera::resume),
            CameraCommand::Refuse(target) => {
                each(target, &|camera| camera.set_fault(Fault::Refuse));
                done(self.close(target))
            }
            CameraCommand::Answer(target, status) => each(target, &|camera| camera.set_fault(Fault::Answer(status))),
            CameraCommand::Reboot(target, duration) => {
                each(target, &|camera| camera.reboot(Instant::now() + duration));
                let site = Arc::clone(&self.site);
                gst::glib::timeout_add_once(duration, move || {
                    site.cameras.iter().for_each(|camera| camera.come_back(Instant::now()));
                });
                done(self.close(target))
            }
            CameraCommand::Close(target) => done(self.close(target)),
            CameraCommand::Jump(target, seconds) => each(target, &|camera| camera.jump(seconds)),
            CameraCommand::Drift(target, ppm) => each(target, &|camera| camera.set_drift(ppm)),
            CameraCommand::Jitter(target, ms) => each(target, &|camera| camera.change(|quirks| quirks.jitter_ms = ms)),
            CameraCommand::Fps(target, fps) => each(target, &|camera| camera.set_fps(fps)),
            CameraCommand::Resize(_) if !self.site.programme.has_second() => {
                CommandAnswer::Error { error: "resize needs --second".into() }
            }
            CameraCommand::Resize(target) => each(target, &|camera| camera.change(|quirks| quirks.resized ^= true)),
            CameraCommand::Mute(target) => each(target, &|camera| camera.change(|quirks| quirks.muted = true)),
            CameraCommand::Unmute(target) => each(target, &|camera| camera.change(|quirks| quirks.muted = false)),
            CameraCommand::Half(target) => each(target, &|camera| camera.change(|quirks| quirks.half = true)),
            CameraCommand::NoParams(target) => each(target, &|camera| camera.change(|quirks| quirks.noparams = true)),
            CameraCommand::Quit => done(0),
        }
    }

    /// Closes the connections that have asked for one of the cameras and returns how many.
    fn close(&self, target: CameraTarget) -> usize {
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

    fn status(&self) -> CommandAnswer {
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
                quirks: snapshot.quirks,
            }
        });
        CommandAnswer::Status { cameras: cameras.collect(), connections: ledger.connections() }
    }
}

fn watch_sessions(rtsp: &rtsp::RTSPServer, site: &Arc<Site>) -> Result<(), ServerError> {
    let pool = rtsp.session_pool().ok_or(ServerError::Library("a session pool"))?;
    pool.set_max_sessions(MAX_SESSIONS);
    let site = Arc::clone(site);
    pool.connect_session_removed(move |_, session| {
        if let Some(session) = session.sessionid() {
            site.ledger().session_ended(&session);
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
        client.connect_pre_options_request(move |_, context| site.greet(context));
        let site = on();
        client.connect_pre_describe_request(move |client, context| site.admit(client, context));
        let site = on();
        client.connect_pre_setup_request(move |client, context| site.admit(client, context));
        let site = on();
        client.connect_play_request(move |client, context| site.played(client, context));
        let site = on();
        client.connect_pause_request(move |_, context| site.stopped(context));
        let site = on();
        client.connect_teardown_request(move |_, context| site.stopped(context));
        let site = on();
        client.connect_closed(move |client| {
            site.ledger().closed(id(client));
            let client = client.clone();
            gst::glib::timeout_add_once(AFTERLIFE, move || drop(client));
        });
    });
}
