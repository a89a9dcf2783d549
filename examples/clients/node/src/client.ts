import { type DescMessage, type DescMethodUnary, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type Client, connectivityState, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BackupService } from "./gen/ocibackup/v1/backup_service_pb.js";
import type {
  CreateBootVolumeBackupRequest,
  CreateBootVolumeBackupResponse,
} from "./gen/ocibackup/v1/boot_volume_backup_pb.js";
import type { CreateVolumeBackupRequest, CreateVolumeBackupResponse } from "./gen/ocibackup/v1/volume_backup_pb.js";

export interface CallOptions {
  /** How long the call may take, with all that the channel and the gateway repeat. */
  deadlineMs: number;
  /** Such as an opc-request-id or a traceparent. */
  metadata?: Record<string, string>;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
}

/** What came back: the message, and the metadata with the opc-request-id. */
export interface Answer<T> {
  response: T;
  metadata: Metadata;
}

/**
 * Makes backups. Give each wanted backup a retry token of its own (a UUID), and store it before the call: with it the
 * call can be repeated, by the channel and by you, without a second backup. A create without one is refused before
 * anything is sent: the channel repeats a call, and each repetition would be a backup of its own.
 *
 * A call that failed rejects with grpc-js's `ServiceError`; `explain` says what it means.
 */
export class BackupClient {
  constructor(private readonly channel: Client) {}

  async createVolumeBackup(
    request: CreateVolumeBackupRequest,
    options: CallOptions,
  ): Promise<Answer<CreateVolumeBackupResponse>> {
    needToken(request.retryToken, options);
    return unary(this.channel, BackupService.method.createVolumeBackup, request, options);
  }

  async createBootVolumeBackup(
    request: CreateBootVolumeBackupRequest,
    options: CallOptions,
  ): Promise<Answer<CreateBootVolumeBackupResponse>> {
    needToken(request.retryToken, options);
    return unary(this.channel, BackupService.method.createBootVolumeBackup, request, options);
  }
}

function needToken(inField: string | undefined, { metadata }: CallOptions): void {
  if (!inField && !metadata?.["opc-retry-token"]) {
    const details = "a create needs a retry token, and nothing was sent without one";
    throw Object.assign(new Error(details), { code: status.INVALID_ARGUMENT, details, metadata: new Metadata() });
  }
}

/** A call of grpc-js, with messages of protobuf-es. A create without a retry token is not refused here. */
export function unary<I extends DescMessage, O extends DescMessage>(
  channel: Client,
  method: DescMethodUnary<I, O>,
  request: MessageShape<I>,
  { deadlineMs, metadata = {}, signal }: CallOptions,
): Promise<Answer<MessageShape<O>>> {
  // grpc-js does not read waitForReady from the service config.
  const sent = new Metadata({ waitForReady: true });
  for (const [key, value] of Object.entries(metadata)) {
    sent.set(key, value);
  }
  return new Promise((resolve, reject) => {
    let received = new Metadata();
    const call = channel.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes),
      request,
      sent,
      { deadline: Date.now() + deadlineMs },
      (error, response) => {
        signal?.removeEventListener("abort", cancel);
        if (response !== undefined) {
          resolve({ response, metadata: received });
        } else {
          tellWhy(channel, error as ServiceError).then(reject);
        }
      },
    );
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) {
      cancel();
    }
    call.on("metadata", (initial) => {
      received = initial;
    });
  });
}

/**
 * A call that waited in vain for a gateway ends without a word about why there was none. A call that does not wait is
 * told at once: the health check serves for that.
 */
function tellWhy(channel: Client, error: ServiceError): Promise<ServiceError> {
  const state = channel.getChannel().getConnectivityState(false);
  if (error.code !== status.DEADLINE_EXCEEDED || state !== connectivityState.TRANSIENT_FAILURE) {
    return Promise.resolve(error);
  }
  const bytes = (message: Buffer) => message;
  return new Promise((resolve) => {
    channel.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      bytes,
      bytes,
      Buffer.alloc(0),
      { deadline: Date.now() + 100 },
      (reason) => {
        if (reason !== null) {
          error.details += `: ${reason.details}`;
        }
        resolve(error);
      },
    );
  });
}
