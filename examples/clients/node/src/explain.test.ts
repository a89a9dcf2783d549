import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { builtInServiceConfig, openChannel, plaintext } from "./channel.js";
import { BackupClient } from "./client.js";
import { explain } from "./explain.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import { CreateVolumeBackupRequestSchema } from "./gen/ocibackup/v1/volume_backup_pb.js";

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
      "repeat with the retry token theirs in 2500 ms; opc-request-id id",
  );
});

test("where no answer of a gateway came, the library's message is told in one line", () => {
  const failure = explain(failed(status.UNAVAILABLE, "no\r\nroute", new Metadata()), "mine");

  assert.equal(failure.decision, "REPEAT");
  assert.equal(
    failure.words,
    "UNAVAILABLE: no route; no answer of a gateway came, so the backup may have been made; " +
      "repeat with the retry token mine in 1000 ms",
  );
});

test("what may have been made without a token is not repeated", () => {
  const metadata = new Metadata();
  metadata.set("opc-request-id", "id");

  const failure = explain(failed(status.RESOURCE_EXHAUSTED, "too large", metadata));

  assert.equal(failure.decision, "STOP");
  assert.equal(
    failure.words,
    "RESOURCE_EXHAUSTED: too large; no answer of a gateway came, so the backup may have been made; " +
      "find out whether the backup exists before trying again; opc-request-id id",
  );
});

test("details that cannot be read are none", () => {
  const words =
    "UNAVAILABLE: what it says; no answer of a gateway came, so the backup may have been made; " +
    "repeat with the retry token mine in 1000 ms";
  const broken = new Metadata();
  broken.set("grpc-status-details-bin", Buffer.from([10, 99]));

  assert.equal(explain(failed(status.UNAVAILABLE, "what it says", broken), "mine").words, words);
  assert.equal(
    explain(
      answered(status.UNAVAILABLE, [
        { ...detail(ErrorInfoSchema, {}), value: Uint8Array.of(10, 99) },
        detail(RetryInfoSchema, { retryDelay: { seconds: 2n ** 62n } }),
        detail(RequestInfoSchema, { requestId: "id" }),
      ]),
      "mine",
    ).words,
    `${words}; opc-request-id id`,
  );
});

test("milliseconds are rounded down", () => {
  const delay = detail(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 999_999_999 } });

  assert.equal(explain(answered(status.UNAVAILABLE, [delay]), "mine").repeatAfterMs, 1_999);
});

test("a create without a token is refused", async () => {
  const channel = openChannel("127.0.0.1:1", plaintext(), builtInServiceConfig());
  const call = new BackupClient(channel).createVolumeBackup(create(CreateVolumeBackupRequestSchema), {
    deadlineMs: 5_000,
  });

  await assert.rejects(call, (error: ServiceError) => {
    assert.equal(
      explain(error, "").words,
      "INVALID_ARGUMENT: a create needs a retry token, and nothing was sent without one; this call made nothing; " +
        "mend the cause before repeating",
    );
    return true;
  });
  channel.close();
});

test("a call whose signal was aborted before ends at once", async () => {
  const channel = openChannel("127.0.0.1:1", plaintext(), builtInServiceConfig());
  const began = performance.now();
  const call = new BackupClient(channel).createVolumeBackup(
    create(CreateVolumeBackupRequestSchema, { retryToken: "mine" }),
    { deadlineMs: 5_000, signal: AbortSignal.abort() },
  );

  await assert.rejects(call, (error: ServiceError) => error.code === status.CANCELLED);
  assert.ok(performance.now() - began < 1_000);
  channel.close();
});

test("a target whose port is none is refused", () => {
  for (const target of ["127.0.0.1:99999", "dns:///name:0", "[::1]:port", "name:", "name:-1"]) {
    assert.throws(() => openChannel(target, plaintext(), builtInServiceConfig()), /is none$/, target);
  }
  for (const target of ["127.0.0.1:1", "dns:///name:65535", "dns:name", "[::1]:50051", "name"]) {
    openChannel(target, plaintext(), builtInServiceConfig()).close();
  }
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
