package com.example.backup;

import static java.util.stream.Collectors.joining;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * What a failed call means.
 *
 * @param message of the gateway, or of the library where no gateway answered
 * @param info empty when no gateway answered
 * @param decision what to do
 * @param retryToken the token to repeat with; empty when there was none
 * @param repeatAfterMs how long to wait before that
 * @param words all of it in one line, for a person
 */
record Failure(
    Status.Code code,
    String message,
    Optional<ErrorInfo> info,
    Optional<RequestInfo> request,
    Optional<BadRequest> violations,
    Optional<QuotaFailure> quota,
    Optional<ResourceInfo> resource,
    Optional<RetryInfo> retry,
    Metadata metadata,
    Decision decision,
    Optional<String> retryToken,
    long repeatAfterMs,
    String words) {

  enum Decision {
    /**
     * Make the same call with the same retry token: it may succeed, or it settles what happened.
     */
    REPEAT,
    /** This call made nothing, and the same call would fail again. */
    STOP
  }

  private static final long REPEAT_AFTER_MS = 1_000;

  /**
   * Codes by which the library says that no gateway answered, so that nobody knows what happened.
   */
  private static final Set<Status.Code> WITHOUT_ANSWER =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.CANCELLED,
          Status.Code.UNKNOWN,
          Status.Code.INTERNAL);

  private static final Set<Status.Code> CODES_OF_OPERATORS =
      Set.of(
          Status.Code.UNAUTHENTICATED,
          Status.Code.PERMISSION_DENIED,
          Status.Code.UNIMPLEMENTED,
          Status.Code.INTERNAL);

  private static final Set<String> REASONS_OF_OPERATORS =
      Set.of("CREDENTIAL_UNAVAILABLE", "UPSTREAM_TLS", "UPSTREAM_REDIRECT");

  /**
   * Turns a failed call into words and a decision.
   *
   * @param sentToken the retry token that the call had; null for none
   */
  static Failure explain(StatusRuntimeException error, String sentToken) {
    Status status = error.getStatus();
    Metadata metadata = error.getTrailers() == null ? new Metadata() : error.getTrailers();
    com.google.rpc.Status details = StatusProto.fromThrowable(error);

    Optional<ErrorInfo> info = detail(details, ErrorInfo.class);
    Optional<RequestInfo> request = detail(details, RequestInfo.class);
    Optional<BadRequest> violations = detail(details, BadRequest.class);
    Optional<RetryInfo> retry = detail(details, RetryInfo.class);
    String outcome = info.map(known -> known.getMetadataOrDefault("outcome", "")).orElse("");

    boolean repeat =
        retry.isPresent()
            || outcome.equals("UNKNOWN")
            || outcome.equals("STARTED")
            || (info.isEmpty() && WITHOUT_ANSWER.contains(status.getCode()));
    long repeatAfterMs =
        retry.map(delay -> Durations.toMillis(delay.getRetryDelay())).orElse(REPEAT_AFTER_MS);
    Optional<String> retryToken =
        Optional.ofNullable(metadata.get(BackupClient.RETRY_TOKEN))
            .or(() -> Optional.ofNullable(sentToken));
    String message = message(status, info.isPresent());

    StringBuilder words = new StringBuilder();
    words.append(status.getCode()).append(": ").append(message);
    info.map(known -> known.getMetadataOrDefault("oci_code", null))
        .ifPresent(code -> words.append(" [").append(code).append("]"));
    words.append("; ").append(whatBecameOfTheBackup(outcome, info.isPresent(), repeat));
    words.append("; ");
    if (repeat) {
      words.append("repeat");
      retryToken.ifPresent(token -> words.append(" with the retry token ").append(token));
      words.append(String.format(Locale.ROOT, " in %.1f s", repeatAfterMs / 1000.0));
    } else {
      words.append(whatToMend(status.getCode(), info, violations));
    }
    request.ifPresent(known -> words.append("; opc-request-id ").append(known.getRequestId()));

    return new Failure(
        status.getCode(),
        message,
        info,
        request,
        violations,
        detail(details, QuotaFailure.class),
        detail(details, ResourceInfo.class),
        retry,
        metadata,
        repeat ? Decision.REPEAT : Decision.STOP,
        retryToken,
        repeatAfterMs,
        words.toString().replaceAll("\\R", " "));
  }

  private static String whatBecameOfTheBackup(String outcome, boolean answered, boolean repeat) {
    return switch (outcome) {
      case "STARTED" -> "the backup was made, but its answer cannot be used";
      case "UNKNOWN" -> "the backup may have been made";
      default ->
          !answered && repeat
              ? "no gateway answered, so the backup may have been made"
              : "this call made nothing";
    };
  }

  private static String whatToMend(
      Status.Code code, Optional<ErrorInfo> info, Optional<BadRequest> violations) {
    if (violations.isPresent() && violations.get().getFieldViolationsCount() > 0) {
      return violations.get().getFieldViolationsList().stream()
          .map(violation -> violation.getField() + ": " + violation.getDescription())
          .collect(joining(", ", "mend ", ""));
    }
    if (CODES_OF_OPERATORS.contains(code)
        || info.map(ErrorInfo::getReason).filter(REASONS_OF_OPERATORS::contains).isPresent()) {
      return "this is for those who run the gateway";
    }
    return code == Status.Code.FAILED_PRECONDITION
        ? "find out whether the backup exists before using a new token"
        : "mend the cause before repeating";
  }

  /**
   * The gateway's message. The library's own is either no more than "io exception", and the cause
   * tells, or it has the cause's stack in it, which tells a person nothing.
   */
  private static String message(Status status, boolean answered) {
    String message = status.getDescription() == null ? "" : status.getDescription();
    if (answered) {
      return message;
    }
    Throwable cause = status.getCause();
    while (cause != null && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return withoutStack(
        cause == null || cause.getMessage() == null
            ? message
            : message + ": " + cause.getMessage());
  }

  static String withoutStack(String message) {
    return message.replaceAll("\\R\\s*(at .*|\\.\\.\\. \\d+ more)", "");
  }

  private static <T extends Message> Optional<T> detail(
      com.google.rpc.Status status, Class<T> type) {
    if (status != null) {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(type)) {
          try {
            return Optional.of(detail.unpack(type));
          } catch (InvalidProtocolBufferException e) {
            return Optional.empty();
          }
        }
      }
    }
    return Optional.empty();
  }
}
