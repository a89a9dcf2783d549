/** Calls from lines, answers as lines, in JSON: the test-drive of the client. A service needs none of this. */
import { type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { Client, Metadata, ServiceError } from "@grpc/grpc-js";
import { unary } from "./client.js";
import { explain, type Failure } from "./explain.js";
import { BackupService } from "./gen/ocibackup/v1/backup_service_pb.js";
import {
  CreateBootVolumeBackupRequestSchema,
  CreateBootVolumeBackupResponseSchema,
} from "./gen/ocibackup/v1/boot_volume_backup_pb.js";
import {
  CreateVolumeBackupRequestSchema,
  CreateVolumeBackupResponseSchema,
} from "./gen/ocibackup/v1/volume_backup_pb.js";

const DEADLINE_MS = 30_000;

/** A line that cannot be understood. */
export class NotUnderstood extends Error {}

interface CallLine {
  rpc: string;
  request: JsonValue;
  metadata?: Record<string, string>;
  timeoutMs?: number;
  cancelAfterMs?: number;
}

interface LoadLine {
  rpc: string;
  prefix: string;
  calls?: number;
  forMs?: number;
  atOnce: number;
  timeoutMs?: number;
}

/**
 * A call that has only to be made. It may lack a retry token, to show what the gateway does: what a service calls
 * refuses that.
 */
interface Call {
  retryToken: string | undefined;
  cancelAfterMs?: number | undefined;
  make: (signal?: AbortSignal) => Promise<Made>;
}

interface Made {
  id: string;
  response: JsonValue;
  metadata: Metadata;
}

export async function answerLines(
  channel: Client,
  lines: AsyncIterable<string>,
  print: (line: string) => void,
): Promise<void> {
  for await (const line of lines) {
    print(JSON.stringify(await answerLine(channel, parse(line))));
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new NotUnderstood(`not JSON: ${(error as Error).message}`);
  }
}

function answerLine(channel: Client, line: unknown): Promise<JsonValue> {
  if (Array.isArray(line)) {
    const calls = line.map((call) => callOf(channel, call as CallLine));
    return Promise.all(calls.map(answer));
  }
  if (typeof line !== "object" || line === null) {
    throw new NotUnderstood(`a call, a list of calls or a load was expected: ${JSON.stringify(line)}`);
  }
  return "load" in line ? answerLoad(channel, line.load as LoadLine) : answer(callOf(channel, line as CallLine));
}

async function answer(call: Call): Promise<Record<string, JsonValue>> {
  const started = performance.now();
  const canceller = new AbortController();
  const timer = call.cancelAfterMs === undefined ? undefined : setTimeout(() => canceller.abort(), call.cancelAfterMs);
  let told: Record<string, JsonValue>;
  try {
    const { response, metadata } = await call.make(canceller.signal);
    told = { code: "OK", response, metadata: metadataOf(metadata) };
  } catch (error) {
    const failure = error as ServiceError;
    told = answerOf(explain(failure, call.retryToken), failure.metadata);
  }
  clearTimeout(timer);
  return { ...told, tookMs: Math.round(performance.now() - started) };
}

function answerOf(failure: Failure, metadata: Metadata): Record<string, JsonValue> {
  const { info, request, violations, quota, resource, retryAfterMs } = failure;
  const pushback = Number(metadata.get("grpc-retry-pushback-ms")[0] ?? NaN);
  return {
    code: failure.code,
    message: failure.message,
    ...(info && { domain: info.domain, reason: info.reason, errorMetadata: info.metadata }),
    ...(request && { requestId: request.requestId }),
    ...(violations && {
      violations: violations.fieldViolations.map(({ field, description }) => ({ field, description })),
    }),
    ...(quota && { quotaViolations: quota.violations.map(({ subject, description }) => ({ subject, description })) }),
    ...(resource && { resource: { resourceType: resource.resourceType, resourceName: resource.resourceName } }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(Number.isInteger(pushback) && { pushbackMs: pushback }),
    metadata: metadataOf(metadata),
    decision: failure.decision,
    ...(failure.decision === "REPEAT" && { repeatAfterMs: failure.repeatAfterMs }),
    words: failure.words,
  };
}

function metadataOf(metadata: Metadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata.getMap())
      .filter(([key]) => key === "etag" || key.startsWith("opc-"))
      .map(([key, value]) => [key, value.toString()]),
  );
}

async function answerLoad(channel: Client, load: LoadLine): Promise<JsonValue> {
  const { prefix, calls = Infinity, forMs = Infinity, atOnce } = load;
  if (typeof prefix !== "string" || !(atOnce >= 1) || (calls === Infinity) === (forMs === Infinity)) {
    throw new NotUnderstood("a load has a prefix, atOnce, and either calls or forMs");
  }
  const codes: Record<string, number> = {};
  const backups = new Set<string>();
  const times: number[] = [];
  let firstFailure: string | undefined;
  let next = 0;

  const started = performance.now();
  const worker = async () => {
    while (next < calls && performance.now() - started < forMs) {
      const call = callOfLoad(channel, load, next++);
      const begun = performance.now();
      let code = "OK";
      try {
        backups.add((await call.make()).id);
      } catch (error) {
        const failure = explain(error as ServiceError, call.retryToken);
        code = failure.code;
        firstFailure ??= failure.words;
      }
      times.push(performance.now() - begun);
      codes[code] = (codes[code] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const took = performance.now() - started;

  times.sort((one, other) => one - other);
  return {
    calls: times.length,
    codes,
    ...(firstFailure !== undefined && { firstFailure }),
    seconds: rounded(took / 1000, 3),
    medianMs: rounded(times[Math.floor(times.length / 2)] ?? 0, 2),
    backups: backups.size,
  };
}

function callOfLoad(channel: Client, load: LoadLine, number: number): Call {
  const kind = load.rpc === "CreateBootVolumeBackup" ? "bootVolume" : "volume";
  return callOf(channel, {
    rpc: load.rpc,
    request: {
      [`${kind}Id`]: `ocid1.${kind.toLowerCase()}.oc1.iad.${load.prefix}${number}`,
      retryToken: `${load.prefix}-${number}`,
    },
    ...(load.timeoutMs !== undefined && { timeoutMs: load.timeoutMs }),
  });
}

function callOf(channel: Client, line: CallLine): Call {
  const options = { deadlineMs: line.timeoutMs ?? DEADLINE_MS, metadata: line.metadata ?? {} };
  switch (line.rpc) {
    case "CreateVolumeBackup": {
      const request = requestOf(CreateVolumeBackupRequestSchema, line.request);
      return {
        retryToken: request.retryToken || options.metadata["opc-retry-token"],
        cancelAfterMs: line.cancelAfterMs,
        make: async (signal) => {
          const method = BackupService.method.createVolumeBackup;
          const { response, metadata } = await unary(channel, method, request, { ...options, signal });
          return {
            id: response.volumeBackup?.id ?? "",
            response: toJson(CreateVolumeBackupResponseSchema, response),
            metadata,
          };
        },
      };
    }
    case "CreateBootVolumeBackup": {
      const request = requestOf(CreateBootVolumeBackupRequestSchema, line.request);
      return {
        retryToken: request.retryToken || options.metadata["opc-retry-token"],
        cancelAfterMs: line.cancelAfterMs,
        make: async (signal) => {
          const method = BackupService.method.createBootVolumeBackup;
          const { response, metadata } = await unary(channel, method, request, { ...options, signal });
          return {
            id: response.bootVolumeBackup?.id ?? "",
            response: toJson(CreateBootVolumeBackupResponseSchema, response),
            metadata,
          };
        },
      };
    }
    default:
      throw new NotUnderstood(`there is no RPC ${line.rpc}`);
  }
}

function requestOf<D extends DescMessage>(schema: D, json: JsonValue): MessageShape<D> {
  try {
    return fromJson(schema, json);
  } catch (error) {
    throw new NotUnderstood(`request: ${(error as Error).message}`);
  }
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
