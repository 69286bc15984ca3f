//! The frames that a viewer asks for: their rate and width.

use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::spec::JpegParams;
use salvo::Request;

use crate::http::problem::Problem;
use crate::http::query;
use crate::streams::Stream;

/// Rate and width that the query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRequest {
    /// Frames per second at most; `None` for all that come.
    pub fps: Option<u32>,
    /// The step of the ladder that serves it; `None` for the stream's own frames.
    pub width: Option<JpegWidth>,
}

/// Reads `fps` and `width`; `defaults` are the bounds of links that have none of their own.
///
/// # Errors
/// 422 that names the parameter.
pub fn read(request: &Request, stream: &Stream, defaults: JpegParams) -> Result<FrameRequest, Problem> {
    let fps = query::number(request, "fps", 1..=60)?.and_then(|fps| u32::try_from(fps).ok());
    let width = width(request)?.and_then(|width| step(width, stream, defaults));
    Ok(FrameRequest { fps, width })
}

/// The width that the query asks for, pixels.
///
/// # Errors
/// 422 that names the parameter.
pub fn width(request: &Request) -> Result<Option<u32>, Problem> {
    Ok(query::number(request, "width", 16..=3840)?.and_then(|width| u32::try_from(width).ok()))
}

/// The step that serves a width of a stream; `None` when its own frames do, because they are no wider than the step.
pub fn step(width: u32, stream: &Stream, defaults: JpegParams) -> Option<JpegWidth> {
    let own = stream.offer().jpeg.over(defaults).max_width;
    JpegWidth::at_least(width).filter(|step| step.pixels() < own)
}
