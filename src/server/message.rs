//! The one message of a call, read whole before anything is done for it. What can be refused by its first bytes is.

use super::services::MAX_MESSAGE;
use crate::pb;
use crate::rpc::status::Refusal;
use axum::body::HttpBody;
use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt;
use prost::DecodeError;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::collections::HashSet;
use std::sync::LazyLock;

/// The paths of the RPCs of the contract.
static RPCS: LazyLock<Result<HashSet<String>, DecodeError>> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET)?;
    let services = set.file.iter().flat_map(|file| file.service.iter().map(move |it| (file.package(), it)));
    let path = |package: &str, service: &str, method: &str| format!("/{package}.{service}/{method}");
    let paths = services.flat_map(|(package, it)| {
        it.method.iter().map(move |method| path(package, it.name(), method.name()))
    });
    Ok(paths.collect())
});

/// Whether it is known which RPCs there are. Reads that from the binary, so that no call has to.
pub(super) fn learn_rpcs() -> Result<(), DecodeError> {
    RPCS.as_ref().map(|_known| ()).map_err(Clone::clone)
}

/// The RPC's full name, `service/method`; `None` for what is none of the contract's.
pub(super) fn rpc(path: &str) -> Option<&'static str> {
    RPCS.as_ref().ok()?.get(path)?.strip_prefix('/')
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
    fn the_rpcs_are_those_of_the_contract() {
        learn_rpcs().unwrap();
        for (path, is_one) in [
            ("/ocibackup.v1.BackupService/CreateVolumeBackup", true),
            ("/ocibackup.v1.BackupService/CreateBootVolumeBackup", true),
            ("/ocibackup.v1.BackupService/Nothing", false),
            ("/ocibackup.v2.BackupService/CreateVolumeBackup", false),
            ("/ocibackup.v1.BackupService/CreateVolumeBackup/", false),
            ("/", false),
        ] {
            assert_eq!(rpc(path).is_some(), is_one, "{path}");
        }
    }

    #[test]
    fn the_limit_is_that_of_the_message_and_its_first_bytes_are_enough() {
        assert_eq!(read_in(vec![framed(MAX_MESSAGE)]).unwrap().len(), MAX_MESSAGE + 5);
        let announced = framed(MAX_MESSAGE + 1)[..5].to_vec();
        assert!(matches!(read_in(vec![announced]), Err(Refusal::TooLarge)));
    }
}
