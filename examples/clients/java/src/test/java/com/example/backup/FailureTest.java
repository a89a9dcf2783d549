package com.example.backup;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
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
            + "repeat with the retry token theirs in 2.5 s; opc-request-id id",
        failure.words());
  }

  @Test
  void whereNoGatewayAnsweredTheCauseIsToldInOneLine() {
    Status status =
        Status.UNAVAILABLE
            .withDescription("io exception")
            .withCause(new IOException("no\r\nroute"));

    Failure failure = Failure.explain(status.asRuntimeException(), "mine");

    assertEquals(Failure.Decision.REPEAT, failure.decision());
    assertEquals(
        "UNAVAILABLE: io exception: no route; no gateway answered, so the backup may have been"
            + " made; repeat with the retry token mine in 1.0 s",
        failure.words());
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
