package com.example.backup;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupRequest;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class FailureTest {
  private static final RequestInfo REQUEST = RequestInfo.newBuilder().setRequestId("id").build();

  @Test
  void wrongFieldsAreNamedAndTheCallIsNotRepeated() {
    Failure failure =
        Failure.explain(
            answer(
                Status.Code.INVALID_ARGUMENT,
                info("INVALID_REQUEST", "NOT_STARTED").build(),
                REQUEST,
                BadRequest.newBuilder()
                    .addFieldViolations(violation("volume_id", "is not an OCID"))
                    .addFieldViolations(violation("type", "is none"))
                    .build()),
            "mine");

    assertEquals(Failure.Decision.STOP, failure.decision());
    assertEquals(
        "INVALID_ARGUMENT: what it says; this call made nothing; "
            + "mend volume_id: is not an OCID, type: is none; opc-request-id id",
        failure.words());
  }

  @Test
  void anUnknownOutcomeIsSettledWithTheTokenOfTheAnswer() {
    StatusRuntimeException error =
        answer(
            Status.Code.UNAVAILABLE,
            info("INTERNAL_SERVER_ERROR", "UNKNOWN")
                .putMetadata("oci_code", "InternalServerError")
                .build(),
            REQUEST,
            RetryInfo.newBuilder()
                .setRetryDelay(Duration.newBuilder().setSeconds(2).setNanos(500_000_000))
                .build());
    error.getTrailers().put(BackupClient.RETRY_TOKEN, "theirs");

    Failure failure = Failure.explain(error, null);

    assertEquals(Failure.Decision.REPEAT, failure.decision());
    assertEquals(2_500, failure.repeatAfterMs());
    assertEquals(
        "UNAVAILABLE: what it says [InternalServerError]; the backup may have been made; "
            + "repeat with the retry token theirs in 2500 ms; opc-request-id id",
        failure.words());
  }

  @Test
  void whereNoAnswerCameTheCauseIsToldInOneLine() {
    Status status =
        Status.UNAVAILABLE
            .withDescription("io exception")
            .withCause(new IOException("no\r\nroute"));

    Failure failure = Failure.explain(status.asRuntimeException(), "mine");

    assertEquals(Failure.Decision.REPEAT, failure.decision());
    assertEquals(
        "UNAVAILABLE: io exception: no route; no answer of a gateway came, so the backup may have"
            + " been made; repeat with the retry token mine in 1000 ms",
        failure.words());
  }

  @Test
  void whatMayBeMadeWithoutATokenIsNotRepeated() {
    Metadata trailers = new Metadata();
    trailers.put(BackupClient.REQUEST_ID, "id");

    Failure failure =
        Failure.explain(Status.RESOURCE_EXHAUSTED.asRuntimeException(trailers), null);

    assertEquals(Failure.Decision.STOP, failure.decision());
    assertEquals(
        "RESOURCE_EXHAUSTED: ; no answer of a gateway came, so the backup may have been made; "
            + "find out whether the backup exists before trying again; opc-request-id id",
        failure.words());
  }

  @Test
  void detailsThatCannotBeReadAreNone() {
    Metadata broken = new Metadata();
    broken.put(
        Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER),
        new byte[] {10, 99});
    com.google.rpc.Status oneBroken =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.UNAVAILABLE.value())
            .addDetails(
                Any.newBuilder()
                    .setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo")
                    .setValue(ByteString.copyFrom(new byte[] {10, 99})))
            .addDetails(
                Any.pack(
                    RetryInfo.newBuilder()
                        .setRetryDelay(Duration.newBuilder().setSeconds(Long.MAX_VALUE))
                        .build()))
            .addDetails(Any.pack(REQUEST))
            .build();

    String words =
        "UNAVAILABLE: ; no answer of a gateway came, so the backup may have been made; "
            + "repeat with the retry token mine in 1000 ms";
    assertEquals(
        words, Failure.explain(Status.UNAVAILABLE.asRuntimeException(broken), "mine").words());
    assertEquals(
        words + "; opc-request-id id",
        Failure.explain(StatusProto.toStatusRuntimeException(oneBroken), "mine").words());
  }

  @Test
  void aCreateWithoutATokenIsRefused() {
    ManagedChannel channel =
        GatewayChannel.open(
            "127.0.0.1:1", GatewayChannel.plaintext(), GatewayChannel.serviceConfig());
    StatusRuntimeException error =
        assertThrows(
            StatusRuntimeException.class,
            () ->
                new BackupClient(channel)
                    .createVolumeBackup(
                        CreateVolumeBackupRequest.getDefaultInstance(),
                        java.time.Duration.ofSeconds(5),
                        new Metadata()));
    channel.shutdownNow();

    assertEquals(
        "INVALID_ARGUMENT: a create needs a retry token, and nothing was sent without one; "
            + "this call made nothing; mend the cause before repeating",
        Failure.explain(error, "").words());
  }

  @Test
  void aTargetWhosePortIsNoneIsRefused() {
    for (String target :
        List.of("127.0.0.1:99999", "dns:///name:0", "[::1]:port", "name:", "name:-1")) {
      assertThrows(IllegalArgumentException.class, () -> open(target), target);
    }
    for (String target :
        List.of("127.0.0.1:1", "dns:///name:65535", "dns:name", "[::1]:50051", "name")) {
      open(target);
    }
  }

  private static void open(String target) {
    GatewayChannel.open(target, GatewayChannel.plaintext(), GatewayChannel.serviceConfig())
        .shutdownNow();
  }

  @Test
  void whatNoCallerCanMendIsForThoseWhoRunTheGateway() {
    Failure failure =
        Failure.explain(
            answer(Status.Code.UNAVAILABLE, info("UPSTREAM_TLS", "NOT_STARTED").build(), REQUEST),
            "mine");

    assertEquals(Failure.Decision.STOP, failure.decision());
    assertEquals(
        "UNAVAILABLE: what it says; this call made nothing; "
            + "this is for those who run the gateway; opc-request-id id",
        failure.words());
  }

  private static StatusRuntimeException answer(Status.Code code, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("what it says");
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build(), new Metadata());
  }

  private static ErrorInfo.Builder info(String reason, String outcome) {
    return ErrorInfo.newBuilder().setReason(reason).putMetadata("outcome", outcome);
  }

  private static BadRequest.FieldViolation violation(String field, String description) {
    return BadRequest.FieldViolation.newBuilder()
        .setField(field)
        .setDescription(description)
        .build();
  }
}
