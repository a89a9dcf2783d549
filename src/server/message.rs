//! The one message of a call, read whole before anything is done for it. What can be refused by its first bytes is.

use super::MAX_MESSAGE;
use crate::pb;
use crate::rpc::status::Refusal;
use axum::body::HttpBody;
use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::collections::HashSet;
use std::sync::LazyLock;

/// The paths of the RPCs of the contract; `None` where the binary's own descriptor set cannot be read.
static RPCS: LazyLock<Option<HashSet<String>>> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).ok()?;
    let paths = set.file.iter().flat_map(|file| {
        let methods =
            file.service.iter().flat_map(|service| service.method.iter().map(move |it| (service, it)));
        methods.map(|(service, it)| format!("/{}.{}/{}", file.package(), service.name(), it.name()))
    });
    Some(paths.collect())
});

/// The RPC's full name, `service/method`; `None` for what is none of the contract's.
pub(super) fn rpc(path: &str) -> Option<&'static str> {
    RPCS.as_ref()?.get(path)?.strip_prefix('/')
}

/// Whether there is an RPC that takes a message. Nobody waits for that of another, or counts how many there are: whoever
/// calls what does not exist is to hear that.
pub(super) fn is_for_somebody(path: &str) -> bool {
    RPCS.as_ref().is_none_or(|rpcs| rpcs.contains(path))
}

/// The message with what stands before it.
pub(super) async fn read(mut body: impl HttpBody<Data = Bytes> + Unpin) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Refusal::NoMessage)?;
        let Ok(part) = frame.into_data() else { continue };
        if whole.is_empty() && body.is_end_stream() {
            return check(&part).map(|()| part);
        }
        whole.extend_from_slice(&part);
        check(&whole)?;
    }
    Ok(whole.freeze())
}

/// A flag, a length of four bytes, and so many bytes (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), as far as
/// they have come. Who announces too much is not waited for.
fn check(come: &[u8]) -> Result<(), Refusal> {
    let Some((_flag, [a, b, c, d, message @ ..])) = come.split_first() else { return Ok(()) };
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        Err(Refusal::TooLarge)
    } else if message.len() > length {
        Err(Refusal::SecondMessage)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// What a body of these parts is read as.
    fn read_in(parts: Vec<Vec<u8>>) -> Result<Bytes, Refusal> {
        let body = Body::from_stream(tokio_stream::iter(parts.into_iter().map(Ok::<_, Infallible>)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(body))
    }

    fn framed(length: usize) -> Vec<u8> {
        [&[0][..], &u32::try_from(length).unwrap().to_be_bytes(), &vec![7; length]].concat()
    }

    proptest! {
        #[test]
        fn a_message_is_the_same_in_however_many_parts_it_comes(length in 0_usize..300, size in 1_usize..300) {
            let whole = framed(length);
            let parts = || whole.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
            prop_assert_eq!(&read_in(parts()).unwrap(), &whole);
            let one_more = [parts(), vec![vec![0]]].concat();
            prop_assert!(matches!(read_in(one_more), Err(Refusal::SecondMessage)));
        }
    }

    #[test]
    fn messages_are_for_the_rpcs_of_the_contract() {
        for (path, is_one) in [
            ("/ocibackup.v1.BackupService/CreateVolumeBackup", true),
            ("/ocibackup.v1.BackupService/CreateBootVolumeBackup", true),
            ("/ocibackup.v1.BackupService/Nothing", false),
            ("/ocibackup.v2.BackupService/CreateVolumeBackup", false),
            ("/ocibackup.v1.BackupService/CreateVolumeBackup/", false),
            ("/", false),
        ] {
            assert_eq!(is_for_somebody(path), is_one, "{path}");
        }
    }

    #[test]
    fn the_limit_is_that_of_the_message_and_its_first_bytes_are_enough() {
        assert_eq!(read_in(vec![framed(MAX_MESSAGE)]).unwrap().len(), MAX_MESSAGE + 5);
        let announced = framed(MAX_MESSAGE + 1)[..5].to_vec();
        assert!(matches!(read_in(vec![announced]), Err(Refusal::TooLarge)));
    }
}
