package com.example.backup;

import io.github.ocibackupgateway.ocibackup.v1.BackupServiceGrpc;
import io.github.ocibackupgateway.ocibackup.v1.BackupServiceGrpc.BackupServiceBlockingStub;
import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupResponse;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupResponse;
import io.grpc.Channel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;

/**
 * Makes backups. Give each wanted backup a retry token of its own (a UUID), and store it before the
 * call: with it the call can be repeated, by the channel and by you, without a second backup. A
 * create without one is refused before anything is sent: the channel repeats a call, and each
 * repetition would be a backup of its own.
 *
 * <p>A call that failed throws {@link io.grpc.StatusRuntimeException}; {@link Failure#explain} says
 * what it means. To cancel a call, run it in an {@link io.grpc.Context} that can be cancelled.
 */
final class BackupClient {
  static final Metadata.Key<String> REQUEST_ID = key("opc-request-id");
  static final Metadata.Key<String> RETRY_TOKEN = key("opc-retry-token");

  /** What came back: the message, and the metadata with the opc-request-id. */
  record Answer<T>(T response, Metadata metadata) {}

  private final BackupServiceBlockingStub stub;

  BackupClient(Channel channel) {
    stub = BackupServiceGrpc.newBlockingStub(channel);
  }

  /**
   * Makes a backup of a volume.
   *
   * @param deadline how long the call may take, with all that the channel and the gateway repeat
   * @param metadata such as an opc-request-id or a traceparent
   */
  Answer<CreateVolumeBackupResponse> createVolumeBackup(
      CreateVolumeBackupRequest request, Duration deadline, Metadata metadata) {
    needToken(request.getRetryToken(), metadata);
    return call(deadline, metadata, stub -> stub.createVolumeBackup(request));
  }

  /** Makes a backup of a boot volume, as {@link #createVolumeBackup} does of a volume. */
  Answer<CreateBootVolumeBackupResponse> createBootVolumeBackup(
      CreateBootVolumeBackupRequest request, Duration deadline, Metadata metadata) {
    needToken(request.getRetryToken(), metadata);
    return call(deadline, metadata, stub -> stub.createBootVolumeBackup(request));
  }

  private static void needToken(String token, Metadata metadata) {
    String other = metadata.get(RETRY_TOKEN);
    if (token.isEmpty() && (other == null || other.isEmpty())) {
      throw Status.INVALID_ARGUMENT
          .withDescription("a create needs a retry token, and nothing was sent without one")
          .asRuntimeException();
    }
  }

  /** Any call, and what came back with it. A create without a retry token is not refused here. */
  <T> Answer<T> call(
      Duration deadline, Metadata metadata, Function<BackupServiceBlockingStub, T> rpc) {
    AtomicReference<Metadata> headers = new AtomicReference<>();
    AtomicReference<Metadata> trailers = new AtomicReference<>();
    T response =
        rpc.apply(
            stub.withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS)
                .withInterceptors(
                    MetadataUtils.newAttachHeadersInterceptor(metadata),
                    MetadataUtils.newCaptureMetadataInterceptor(headers, trailers)));
    return new Answer<>(response, headers.get());
  }

  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
