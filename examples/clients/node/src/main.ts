#!/usr/bin/env node
/** The command line. Exit code 0 for a backup, 1 for a failed call, 2 for a wrong command line. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { create } from "@bufbuild/protobuf";
import type { ChannelCredentials, Client, ServiceError } from "@grpc/grpc-js";
import { builtInServiceConfig, openChannel, plaintext, tls } from "./channel.js";
import { BackupClient } from "./client.js";
import { explain } from "./explain.js";
import { LifecycleState } from "./gen/ocibackup/v1/backup_pb.js";
import { CreateBootVolumeBackupRequestSchema } from "./gen/ocibackup/v1/boot_volume_backup_pb.js";
import { CreateVolumeBackupRequestSchema } from "./gen/ocibackup/v1/volume_backup_pb.js";
import { answerLines, NotUnderstood } from "./jsonlines.js";

const USAGE = `\
backup [FLAGS] volume VOLUME_ID              makes a backup of a volume
backup [FLAGS] boot-volume BOOT_VOLUME_ID    makes a backup of a boot volume
backup [FLAGS] calls                         calls from standard input, answers to standard output, as JSON lines

--gateway TARGET       the gateway: host:port or dns:///name:port (default 127.0.0.1:50051)
--tls                  TLS, with the authorities that Node trusts
--tls-ca FILE          TLS, with these authorities (PEM)
--tls-cert FILE, --tls-key FILE    the certificate of this client and its key, for mutual TLS
--service-config FILE  in place of the service config that is built in
--name NAME            the backup's display name
--retry-token TOKEN    default: a new UUID
--timeout SECONDS      the deadline (default 30)
`;

class WrongUsage extends Error {}

type Flags = ReturnType<typeof parse>["values"];

function parse(commandLine: string[]) {
  return parseArgs({
    args: commandLine,
    allowPositionals: true,
    options: {
      gateway: { type: "string", default: "127.0.0.1:50051" },
      tls: { type: "boolean" },
      "tls-ca": { type: "string" },
      "tls-cert": { type: "string" },
      "tls-key": { type: "string" },
      "service-config": { type: "string" },
      name: { type: "string" },
      "retry-token": { type: "string" },
      timeout: { type: "string", default: "30" },
      help: { type: "boolean" },
    },
  });
}

async function run(commandLine: string[]): Promise<number> {
  const { values: flags, positionals } = understood("", () => parse(commandLine));
  if (flags.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [command, ...names] = positionals;
  if (command !== "volume" && command !== "boot-volume" && command !== "calls") {
    throw new WrongUsage("what to do is volume, boot-volume or calls (see --help)");
  }
  const [id] = names;
  if (names.length !== (command === "calls" ? 0 : 1)) {
    throw new WrongUsage(
      command === "calls" ? "calls takes no argument" : `${command} takes one argument: whose backup to make`,
    );
  }
  const deadlineMs = Number(flags.timeout) * 1000;
  if (!(deadlineMs > 0 && deadlineMs < 1e12)) {
    throw new WrongUsage(`--timeout is a number of seconds, more than zero: ${flags.timeout}`);
  }

  const channel = open(flags);
  try {
    const client = new BackupClient(channel);
    if (id === undefined) {
      try {
        await answerLines(channel, createInterface({ input: process.stdin }), console.log);
      } finally {
        // A line that cannot be understood ends the program, also while more may come.
        process.stdin.destroy();
      }
      return 0;
    }
    let token = flags["retry-token"];
    if (token === undefined) {
      token = randomUUID();
      console.error(`retry token ${token}`);
    }
    const make = command === "volume" ? volumeBackup : bootVolumeBackup;
    try {
      console.log(await make(client, id, flags.name, token, deadlineMs));
      return 0;
    } catch (error) {
      console.error(explain(error as ServiceError, token).words);
      return 1;
    }
  } finally {
    channel.close();
  }
}

async function volumeBackup(
  client: BackupClient,
  volumeId: string,
  displayName: string | undefined,
  retryToken: string,
  deadlineMs: number,
): Promise<string> {
  const request = create(CreateVolumeBackupRequestSchema, { volumeId, displayName, retryToken });
  const { response, metadata } = await client.createVolumeBackup(request, { deadlineMs });
  return line(response.volumeBackup, retryToken, metadata.get("opc-request-id"));
}

async function bootVolumeBackup(
  client: BackupClient,
  bootVolumeId: string,
  displayName: string | undefined,
  retryToken: string,
  deadlineMs: number,
): Promise<string> {
  const request = create(CreateBootVolumeBackupRequestSchema, { bootVolumeId, displayName, retryToken });
  const { response, metadata } = await client.createBootVolumeBackup(request, { deadlineMs });
  return line(response.bootVolumeBackup, retryToken, metadata.get("opc-request-id"));
}

function line(
  backup: { id: string; lifecycleState: LifecycleState } | undefined,
  retryToken: string,
  requestId: unknown[],
): string {
  const state = backup && (LifecycleState[backup.lifecycleState] ?? backup.lifecycleState);
  return `${backup?.id} ${state}; retry token ${retryToken}; opc-request-id ${requestId}`;
}

function open(flags: Flags): Client {
  const { gateway, "service-config": named } = flags;
  const serviceConfig =
    named === undefined ? builtInServiceConfig() : understood("--service-config: ", () => readFileSync(named, "utf8"));
  const trusted = understood("the files for TLS: ", () => credentials(flags));
  return understood("", () => openChannel(gateway, trusted, serviceConfig));
}

function credentials(flags: Flags): ChannelCredentials {
  const { "tls-ca": authorities, "tls-cert": certificate, "tls-key": key } = flags;
  if ((certificate === undefined) !== (key === undefined)) {
    throw new WrongUsage("--tls-cert and --tls-key belong together");
  }
  return flags.tls || authorities !== undefined || certificate !== undefined
    ? tls(file(authorities), file(certificate), file(key))
    : plaintext();
}

function file(name: string | undefined): Buffer | undefined {
  return name === undefined ? undefined : readFileSync(name);
}

/** What goes wrong in here is the command line's fault: a flag, a file, an address. */
function understood<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new WrongUsage(what + (error as Error).message);
  }
}

// grpc-js tells TLS the name that it calls even where that is an IP address, which Node warns of.
Object.assign(process, { noDeprecation: true });
try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  console.error(`backup: ${(error as Error).message.replace(/\r\n|[\n\r]/g, " ")}`);
  process.exitCode = error instanceof WrongUsage || error instanceof NotUnderstood ? 2 : 1;
}
