import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack, type Duration } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
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
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/**
 * `REPEAT`: make the same call with the same retry token; it may succeed, or it settles what happened.
 * `STOP`: the same call would fail again: mend what the words name. Or nobody knows a token, and only a look at OCI
 * tells whether there is a backup.
 */
export type Decision = "REPEAT" | "STOP";

/** What a failed call means. */
export interface Failure {
  code: string;
  /** Of the gateway, or of the library where no answer of a gateway came. */
  message: string;
  /** Absent when no answer of a gateway came. */
  info: ErrorInfo | undefined;
  request: RequestInfo | undefined;
  violations: BadRequest | undefined;
  quota: QuotaFailure | undefined;
  resource: ResourceInfo | undefined;
  /** How long the gateway wants a caller to wait. */
  retryAfterMs: number | undefined;
  decision: Decision;
  /** The token to repeat with, where one is known. */
  retryToken: string | undefined;
  /** How long to wait before that. */
  repeatAfterMs: number;
  /** All of it in one line, for a person. */
  words: string;
}

const REPEAT_AFTER_MS = 1_000;

/** Codes by which the library says that no answer of a gateway came, so that nobody knows what happened. */
const WITHOUT_ANSWER = [
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNKNOWN,
  status.INTERNAL,
  status.RESOURCE_EXHAUSTED,
  status.DATA_LOSS,
  // What a proxy said in HTTP.
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
];

const CODES_OF_OPERATORS = [status.UNAUTHENTICATED, status.PERMISSION_DENIED, status.UNIMPLEMENTED, status.INTERNAL];
const REASONS_OF_OPERATORS = ["UPSTREAM_TLS", "UPSTREAM_REDIRECT"];

/**
 * Turns a failed call into words and a decision. It never throws: details that cannot be read are none.
 *
 * @param sentToken the retry token that the call had
 */
export function explain(error: ServiceError, sentToken?: string): Failure {
  // An error that the library throws at once is a plain one.
  const {
    code: number = status.UNKNOWN,
    details: said = error.message,
    metadata = new Metadata(),
  }: Partial<ServiceError> = error;
  const details = detailsOf(metadata);
  const info = find(details, ErrorInfoSchema);
  const request = find(details, RequestInfoSchema);
  const violations = find(details, BadRequestSchema);
  const retry = find(details, RetryInfoSchema, ({ retryDelay }) => retryDelay === undefined || isDelay(retryDelay));
  const retryAfterMs = retry?.retryDelay && milliseconds(retry.retryDelay);
  const outcome = info?.metadata["outcome"];

  // An empty token or id is none.
  const retryToken = metadata.get("opc-retry-token")[0]?.toString() || sentToken || undefined;
  const requestId = request?.requestId || metadata.get("opc-request-id")[0]?.toString();
  const withoutAnswer = info === undefined && WITHOUT_ANSWER.includes(number);
  const mayBeMade = outcome === "UNKNOWN" || outcome === "STARTED" || withoutAnswer;
  const repeat = retryToken !== undefined && (mayBeMade || retry !== undefined);
  const repeatAfterMs = retryAfterMs ?? REPEAT_AFTER_MS;

  const code = status[number] ?? String(number);
  const ociCode = info?.metadata["oci_code"];
  const words = [
    `${code}: ${said}${ociCode ? ` [${ociCode}]` : ""}`,
    whatBecameOfTheBackup(outcome, withoutAnswer),
  ];
  if (repeat) {
    words.push(`repeat with the retry token ${retryToken} in ${repeatAfterMs} ms`);
  } else if (mayBeMade || number === status.FAILED_PRECONDITION) {
    words.push("find out whether the backup exists before trying again");
  } else {
    words.push(whatToMend(number, info, violations));
  }
  if (requestId) {
    words.push(`opc-request-id ${requestId}`);
  }

  return {
    code,
    message: said,
    info,
    request,
    violations,
    quota: find(details, QuotaFailureSchema),
    resource: find(details, ResourceInfoSchema),
    retryAfterMs,
    decision: repeat ? "REPEAT" : "STOP",
    retryToken,
    repeatAfterMs,
    words: words.join("; ").replace(/\r\n|[\n\r]/g, " "),
  };
}

function whatBecameOfTheBackup(outcome: string | undefined, withoutAnswer: boolean): string {
  switch (outcome) {
    case "STARTED":
      return "the backup was made, but its answer cannot be used";
    case "UNKNOWN":
      return "the backup may have been made";
    default:
      return withoutAnswer ? "no answer of a gateway came, so the backup may have been made" : "this call made nothing";
  }
}

function whatToMend(code: status, info: ErrorInfo | undefined, violations: BadRequest | undefined): string {
  if (violations !== undefined && violations.fieldViolations.length > 0) {
    return `mend ${violations.fieldViolations.map(({ field, description }) => `${field}: ${description}`).join(", ")}`;
  }
  if (CODES_OF_OPERATORS.includes(code) || REASONS_OF_OPERATORS.includes(info?.reason ?? "")) {
    return "this is for those who run the gateway";
  }
  return "mend the cause before repeating";
}

/** The longest that protobuf allows is 10,000 years. */
function isDelay({ seconds, nanos }: Duration): boolean {
  return seconds >= 0n && seconds <= 315_576_000_000n && nanos >= 0 && nanos < 1_000_000_000;
}

/** Rounded down, where `durationMs` of protobuf-es rounds to the nearest. */
function milliseconds({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1_000 + Math.floor(nanos / 1_000_000);
}

/** grpc-js hands the details over as they came: a `google.rpc.Status`, encoded, in the trailing metadata. */
function detailsOf(metadata: Metadata): Any[] {
  const [encoded] = metadata.get("grpc-status-details-bin");
  return (Buffer.isBuffer(encoded) && unlessBroken(() => fromBinary(StatusSchema, encoded).details)) || [];
}

function find<D extends DescMessage>(
  details: Any[],
  schema: D,
  usable: (message: MessageShape<D>) => boolean = () => true,
): MessageShape<D> | undefined {
  for (const detail of details) {
    const message = unlessBroken(() => anyUnpack(detail, schema));
    if (message !== undefined && usable(message)) {
      return message;
    }
  }
  return undefined;
}

function unlessBroken<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
