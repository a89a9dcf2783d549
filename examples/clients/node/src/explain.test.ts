import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { explain } from "./explain.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

test("wrong fields are named, and the call is not repeated", () => {
  const failure = explain(
    answered(status.INVALID_ARGUMENT, [
      detail(ErrorInfoSchema, { reason: "INVALID_REQUEST", metadata: { outcome: "NOT_STARTED" } }),
      detail(RequestInfoSchema, { requestId: "id" }),
      detail(BadRequestSchema, {
        fieldViolations: [
          { field: "volume_id", description: "is not an OCID" },
          { field: "type", description: "is none" },
        ],
      }),
    ]),
    "mine",
  );

  assert.equal(failure.decision, "STOP");
  assert.equal(
    failure.words,
    "INVALID_ARGUMENT: what it says; this call made nothing; mend volume_id: is not an OCID, type: is none; " +
      "opc-request-id id",
  );
});

test("an unknown outcome is settled with the token of the answer", () => {
  const error = answered(status.UNAVAILABLE, [
    detail(ErrorInfoSchema, { metadata: { outcome: "UNKNOWN", oci_code: "InternalServerError" } }),
    detail(RequestInfoSchema, { requestId: "id" }),
    detail(RetryInfoSchema, { retryDelay: { seconds: 2n, nanos: 500_000_000 } }),
  ]);
  error.metadata.set("opc-retry-token", "theirs");

  const failure = explain(error);

  assert.equal(failure.decision, "REPEAT");
  assert.equal(failure.repeatAfterMs, 2_500);
  assert.equal(
    failure.words,
    "UNAVAILABLE: what it says [InternalServerError]; the backup may have been made; " +
      "repeat with the retry token theirs in 2.5 s; opc-request-id id",
  );
});

test("where no gateway answered, the library's message is told in one line", () => {
  const failure = explain(failed(status.UNAVAILABLE, "no\r\nroute", new Metadata()), "mine");

  assert.equal(failure.decision, "REPEAT");
  assert.equal(
    failure.words,
    "UNAVAILABLE: no route; no gateway answered, so the backup may have been made; " +
      "repeat with the retry token mine in 1.0 s",
  );
});

test("what no caller can mend is for those who run the gateway", () => {
  const failure = explain(
    answered(status.UNAVAILABLE, [
      detail(ErrorInfoSchema, { reason: "UPSTREAM_TLS", metadata: { outcome: "NOT_STARTED" } }),
    ]),
    "mine",
  );

  assert.equal(failure.decision, "STOP");
  assert.equal(
    failure.words,
    "UNAVAILABLE: what it says; this call made nothing; this is for those who run the gateway",
  );
});

function answered(code: status, details: Any[]): ServiceError {
  const metadata = new Metadata();
  const encoded = toBinary(StatusSchema, create(StatusSchema, { code, message: "what it says", details }));
  metadata.set("grpc-status-details-bin", Buffer.from(encoded));
  return failed(code, "what it says", metadata);
}

function failed(code: status, details: string, metadata: Metadata): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata });
}

function detail<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Any {
  return anyPack(schema, create(schema, init));
}
