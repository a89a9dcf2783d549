//! A caller without a gRPC library: what goes over the wire is exactly what the test says.

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use h2::client::SendRequest;
use http::HeaderMap;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tonic::Status;

/// The RPC that raw calls are for.
pub(crate) const CREATE_VOLUME_BACKUP: &str = "/ocibackup.v1.BackupService/CreateVolumeBackup";

/// An HTTP/2 connection to the gateway.
pub(crate) async fn connect(gateway: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    requests
}

/// What a call was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The headers; of a call that failed, with the status in them.
    pub(crate) headers: HeaderMap,
    /// The status, from wherever it was.
    pub(crate) status: Status,
}

/// A call whose message has yet to be sent.
pub(crate) async fn begin(
    gateway: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = http::Request::post(format!("http://{gateway}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut requests = connect(gateway).await.ready().await.unwrap();
    requests.send_request(request.body(()).unwrap(), false).unwrap()
}

/// One unary call with these headers and these bytes.
pub(crate) async fn call(gateway: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let (response, mut stream) = begin(gateway, path, headers).await;
    stream.reserve_capacity(body.len());
    // Whoever is refused early need not take the whole message.
    let _ = stream.send_data(body.into(), true);
    answer(response).await
}

/// The whole answer of a unary call.
pub(crate) async fn answer(response: ResponseFuture) -> Answer {
    let (head, mut body) = response.await.unwrap().into_parts();
    while let Some(data) = body.data().await {
        let _ = body.flow_control().release_capacity(data.unwrap().len());
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
    Answer { headers: head.headers, status: status.unwrap() }
}

/// A message in gRPC's frame: no compression, its length, its bytes.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed
}
