import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import {
  type BadRequest,
  BadRequestSchema,
  type ErrorInfo,
  ErrorInfoSchema,
  type QuotaFailure,
  QuotaFailureSchema,
  type RequestInfo,
  RequestInfoSchema,
  type ResourceInfo,
  ResourceInfoSchema,
  type RetryInfo,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/**
 * `REPEAT`: make the same call with the same retry token; it may succeed, or it settles what happened.
 * `STOP`: this call made nothing, and the same call would fail again.
 */
export type Decision = "REPEAT" | "STOP";

/** What a failed call means. */
export interface Failure {
  code: string;
  /** Of the gateway, or of the library where no gateway answered. */
  message: string;
  /** Absent when no gateway answered. */
  info: ErrorInfo | undefined;
  request: RequestInfo | undefined;
  violations: BadRequest | undefined;
  quota: QuotaFailure | undefined;
  resource: ResourceInfo | undefined;
  retry: RetryInfo | undefined;
  decision: Decision;
  /** The token to repeat with. */
  retryToken: string | undefined;
  /** How long to wait before that. */
  repeatAfterMs: number;
  /** All of it in one line, for a person. */
  words: string;
}

const REPEAT_AFTER_MS = 1_000;

/** Codes by which the library says that no gateway answered, so that nobody knows what happened. */
const WITHOUT_ANSWER = [
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNKNOWN,
  status.INTERNAL,
];

const CODES_OF_OPERATORS = [status.UNAUTHENTICATED, status.PERMISSION_DENIED, status.UNIMPLEMENTED, status.INTERNAL];
const REASONS_OF_OPERATORS = ["CREDENTIAL_UNAVAILABLE", "UPSTREAM_TLS", "UPSTREAM_REDIRECT"];

/**
 * Turns a failed call into words and a decision.
 *
 * @param sentToken the retry token that the call had
 */
export function explain(error: ServiceError, sentToken?: string): Failure {
  const details = detailsOf(error);
  const info = find(details, ErrorInfoSchema);
  const request = find(details, RequestInfoSchema);
  const violations = find(details, BadRequestSchema);
  const retry = find(details, RetryInfoSchema);
  const outcome = info?.metadata["outcome"];

  const repeat =
    retry !== undefined ||
    outcome === "UNKNOWN" ||
    outcome === "STARTED" ||
    (info === undefined && WITHOUT_ANSWER.includes(error.code));
  const repeatAfterMs = retry?.retryDelay ? Math.trunc(durationMs(retry.retryDelay)) : REPEAT_AFTER_MS;
  const retryToken = error.metadata.get("opc-retry-token")[0]?.toString() ?? sentToken;

  const code = status[error.code] ?? String(error.code);
  const ociCode = info?.metadata["oci_code"];
  const words = [
    `${code}: ${error.details}${ociCode === undefined ? "" : ` [${ociCode}]`}`,
    whatBecameOfTheBackup(outcome, info !== undefined, repeat),
    repeat
      ? `repeat${retryToken === undefined ? "" : ` with the retry token ${retryToken}`} in ${(repeatAfterMs / 1000).toFixed(1)} s`
      : whatToMend(error.code, info, violations),
  ];
  if (request !== undefined) {
    words.push(`opc-request-id ${request.requestId}`);
  }

  return {
    code,
    message: error.details,
    info,
    request,
    violations,
    quota: find(details, QuotaFailureSchema),
    resource: find(details, ResourceInfoSchema),
    retry,
    decision: repeat ? "REPEAT" : "STOP",
    retryToken,
    repeatAfterMs,
    words: words.join("; ").replace(/\r\n|[\n\r]/g, " "),
  };
}

function whatBecameOfTheBackup(outcome: string | undefined, answered: boolean, repeat: boolean): string {
  switch (outcome) {
    case "STARTED":
      return "the backup was made, but its answer cannot be used";
    case "UNKNOWN":
      return "the backup may have been made";
    default:
      return !answered && repeat ? "no gateway answered, so the backup may have been made" : "this call made nothing";
  }
}

function whatToMend(code: status, info: ErrorInfo | undefined, violations: BadRequest | undefined): string {
  if (violations !== undefined && violations.fieldViolations.length > 0) {
    return `mend ${violations.fieldViolations.map(({ field, description }) => `${field}: ${description}`).join(", ")}`;
  }
  if (CODES_OF_OPERATORS.includes(code) || REASONS_OF_OPERATORS.includes(info?.reason ?? "")) {
    return "this is for those who run the gateway";
  }
  return code === status.FAILED_PRECONDITION
    ? "find out whether the backup exists before using a new token"
    : "mend the cause before repeating";
}

/** grpc-js hands the details over as they came: a `google.rpc.Status`, encoded, in the trailing metadata. */
function detailsOf(error: ServiceError): Any[] {
  const [encoded] = error.metadata.get("grpc-status-details-bin");
  return Buffer.isBuffer(encoded) ? fromBinary(StatusSchema, encoded).details : [];
}

function find<D extends DescMessage>(details: Any[], schema: D): MessageShape<D> | undefined {
  for (const detail of details) {
    const message = anyUnpack(detail, schema);
    if (message !== undefined) {
      return message;
    }
  }
  return undefined;
}
