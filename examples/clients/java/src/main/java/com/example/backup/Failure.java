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
import java.util.Optional;
import java.util.Set;

/**
 * What a failed call means.
 *
 * @param message of the gateway, or of the library where no answer of a gateway came
 * @param info empty when no answer of a gateway came
 * @param decision what to do
 * @param retryToken the token to repeat with; empty when nobody knows one
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
    /**
     * The same call would fail again: mend what the words name. Or nobody knows a token, and only a
     * look at OCI tells whether there is a backup.
     */
    STOP
  }

  private static final long REPEAT_AFTER_MS = 1_000;

  /**
   * Codes by which the library says that no answer of a gateway came, so that nobody knows what
   * happened.
   */
  private static final Set<Status.Code> WITHOUT_ANSWER =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.CANCELLED,
          Status.Code.UNKNOWN,
          Status.Code.INTERNAL,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.DATA_LOSS,
          // What a proxy said in HTTP.
          Status.Code.UNAUTHENTICATED,
          Status.Code.PERMISSION_DENIED,
          Status.Code.UNIMPLEMENTED);

  private static final Set<Status.Code> CODES_OF_OPERATORS =
      Set.of(
          Status.Code.UNAUTHENTICATED,
          Status.Code.PERMISSION_DENIED,
          Status.Code.UNIMPLEMENTED,
          Status.Code.INTERNAL);

  private static final Set<String> REASONS_OF_OPERATORS =
      Set.of("UPSTREAM_TLS", "UPSTREAM_REDIRECT");

  /**
   * Turns a failed call into words and a decision. It never throws: details that cannot be read are
   * none.
   *
   * @param sentToken the retry token that the call had; null for none
   */
  static Failure explain(StatusRuntimeException error, String sentToken) {
    Status status = error.getStatus();
    Metadata metadata = error.getTrailers() == null ? new Metadata() : error.getTrailers();
    com.google.rpc.Status details = details(error);

    Optional<ErrorInfo> info = detail(details, ErrorInfo.class);
    Optional<RequestInfo> request = detail(details, RequestInfo.class);
    Optional<BadRequest> violations = detail(details, BadRequest.class);
    Optional<RetryInfo> retry =
        detail(details, RetryInfo.class)
            .filter(delay -> Durations.isValid(delay.getRetryDelay()))
            .filter(delay -> !Durations.isNegative(delay.getRetryDelay()));
    String outcome = info.map(known -> known.getMetadataOrDefault("outcome", "")).orElse("");

    Optional<String> retryToken =
        known(metadata.get(BackupClient.RETRY_TOKEN)).or(() -> known(sentToken));
    boolean withoutAnswer = info.isEmpty() && WITHOUT_ANSWER.contains(status.getCode());
    boolean mayBeMade = outcome.equals("UNKNOWN") || outcome.equals("STARTED") || withoutAnswer;
    boolean repeat = retryToken.isPresent() && (mayBeMade || retry.isPresent());
    long repeatAfterMs =
        retry
            .filter(RetryInfo::hasRetryDelay)
            .map(delay -> Durations.toMillis(delay.getRetryDelay()))
            .orElse(REPEAT_AFTER_MS);
    String message = message(status, info.isPresent());

    StringBuilder words = new StringBuilder();
    words.append(status.getCode()).append(": ").append(message);
    info.flatMap(one -> known(one.getMetadataOrDefault("oci_code", "")))
        .ifPresent(ociCode -> words.append(" [").append(ociCode).append("]"));
    words.append("; ").append(whatBecameOfTheBackup(outcome, withoutAnswer)).append("; ");
    if (repeat) {
      words.append("repeat with the retry token ").append(retryToken.get());
      words.append(" in ").append(repeatAfterMs).append(" ms");
    } else if (mayBeMade || status.getCode() == Status.Code.FAILED_PRECONDITION) {
      words.append("find out whether the backup exists before trying again");
    } else {
      words.append(whatToMend(status.getCode(), info, violations));
    }
    request
        .flatMap(one -> known(one.getRequestId()))
        .or(() -> known(metadata.get(BackupClient.REQUEST_ID)))
        .ifPresent(id -> words.append("; opc-request-id ").append(id));

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
        oneLine(words.toString()));
  }

  private static String whatBecameOfTheBackup(String outcome, boolean withoutAnswer) {
    return switch (outcome) {
      case "STARTED" -> "the backup was made, but its answer cannot be used";
      case "UNKNOWN" -> "the backup may have been made";
      default ->
          withoutAnswer
              ? "no answer of a gateway came, so the backup may have been made"
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
    return "mend the cause before repeating";
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

  static String oneLine(String text) {
    return text.replaceAll("\r\n|\r|\n", " ");
  }

  private static Optional<String> known(String text) {
    return Optional.ofNullable(text).filter(one -> !one.isEmpty());
  }

  /** All details; null where there are none, or none that can be read. */
  private static com.google.rpc.Status details(StatusRuntimeException error) {
    try {
      return StatusProto.fromThrowable(error);
    } catch (IllegalArgumentException e) {
      return null;
    }
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
