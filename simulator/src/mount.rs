//! One mount of the RTSP server for each camera, and one pipeline for each client of it.
//!
//! A pipeline for each: over TCP a client that stops reading blocks the pipeline that feeds it. The clip is shared, so
//! a further client costs no further payloading.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::{glib::translate::IntoGlib, prelude::*};
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::{
    gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans},
    prelude::*,
};

use crate::{
    feed,
    options::{AuthMethods, Credentials},
    site::Site,
    source::{self, TrackSource},
};

/// Socket buffer for RTP over UDP: a 1080p key frame at 4 Mbit/s is 100 to 200 kB in one burst.
const UDP_BUFFER: u32 = 512 << 10;
/// The role that GstRTSPAuth looks up in a factory; one for every client that may watch.
const ROLE: &str = "viewer";

/// A client that knows the password, or any client if there is none, has [`ROLE`].
pub fn auth(credentials: Option<&Credentials>) -> rtsp::RTSPAuth {
    let auth = rtsp::RTSPAuth::new();
    let mut token = rtsp::RTSPToken::builder().field(rtsp::RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE).build();
    let Some(Credentials { methods, username, password }) = credentials else {
        auth.set_default_token(Some(&mut token));
        return auth;
    };
    // The library takes a mask of both; the binding has it as an enumeration in which both together have no name.
    auth.set_supported_methods(match methods {
        AuthMethods::Basic => RTSPAuthMethod::Basic,
        AuthMethods::Digest => RTSPAuthMethod::Digest,
        AuthMethods::Both => RTSPAuthMethod::__Unknown(3),
    });
    auth.add_basic(&rtsp::RTSPAuth::make_basic(username, password), &token);
    auth.add_digest(username, password, &token);
    auth
}

/// Makes the pipeline of a client of camera `index` when it comes and lets it go when it leaves.
pub fn factory(site: &Arc<Site>, index: usize, rtcp: bool) -> rtsp::RTSPMediaFactory {
    let factory = rtsp::RTSPMediaFactory::new();
    factory.set_launch(&source::launch_line(tracks(site)));
    factory.set_shared(false);
    factory.set_protocols(RTSPLowerTrans::UDP | RTSPLowerTrans::TCP);
    factory.set_buffer_size(UDP_BUFFER);
    // Since GStreamer 1.20; the binding's call would need its feature for all of the workspace.
    factory.set_property("enable-rtcp", rtcp);
    factory.add_role_from_structure(
        &gst::Structure::builder(ROLE)
            .field(rtsp::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
            .field(rtsp::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
            .build(),
    );
    let site = Arc::clone(site);
    factory.connect_media_configure(move |_, media| configure(&site, index, media));
    factory
}

fn tracks(site: &Site) -> usize {
    1 + usize::from(site.programme.sound.is_some())
}

fn configure(site: &Arc<Site>, index: usize, media: &rtsp::RTSPMedia) {
    let Ok(bin) = media.element().downcast::<gst::Bin>() else { return };
    let named = |track| bin.by_name(&source::name(track)).and_then(|element| element.downcast::<TrackSource>().ok());
    let sources: Option<Vec<TrackSource>> = (0..tracks(site)).map(named).collect();
    // source::launch_line names them; without them the client's DESCRIBE times out.
    let Some((sources, first)) = sources.and_then(|sources| Some((sources.clone(), sources.into_iter().next()?)))
    else {
        return;
    };
    site.cameras[index].attach(sources, &site.programme, site.rtp_start);

    media.connect_prepared(|media| {
        let streams = (0..media.n_streams()).filter_map(|stream| media.stream(stream));
        for pad in streams.filter_map(|stream| departure(&stream)) {
            feed::drop_primer(&pad);
        }
    });
    let (at, weak) = (Arc::clone(site), first.downgrade());
    media.connect_new_state(move |_, state| {
        if let Some(source) = weak.upgrade() {
            at.cameras[index].set_playing(&source, state == gst::State::Playing.into_glib());
        }
    });
    let (at, weak) = (Arc::clone(site), first.downgrade());
    media.connect_unprepared(move |_| {
        if let Some(source) = weak.upgrade() {
            at.cameras[index].detach(&source);
        }
    });
}

/// The pad at which the server holds a stream's packets back until PLAY.
fn departure(stream: &rtsp::RTSPStream) -> Option<gst::Pad> {
    let name = format!("send_rtp_src_{}", stream.index());
    let elements = stream.joined_bin()?.iterate_elements();
    elements.into_iter().flatten().find_map(|element| element.static_pad(&name))
}
