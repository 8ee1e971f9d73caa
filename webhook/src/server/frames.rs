//! A response body whose parts are all there: one frame each, so that none is copied to stand behind another, and
//! their sum known, so that the response has a `Content-Length`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::admit::Parts;

/// What is still to be sent.
#[derive(Debug)]
pub(super) struct Frames(std::vec::IntoIter<Bytes>);

impl<P: Into<Parts>> From<P> for Frames {
    fn from(parts: P) -> Self {
        Self(parts.into().into_iter())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes: usize = self.0.as_slice().iter().map(Bytes::len).sum();
        SizeHint::with_exact(bytes as u64)
    }
}
