/**
 * The channel to the gateway. One serves the whole process: it connects by itself, takes turns over all addresses of
 * its target, and repeats what the service config says.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type ChannelCredentials, Client, credentials } from "@grpc/grpc-js";

/** The service config that is used where nothing else is said. */
export function builtInServiceConfig(): string {
  return readFileSync(new URL("../service-config.json", import.meta.url), "utf8");
}

/**
 * Opens a channel. It does not connect before the first call.
 *
 * @param target `host:port` or `dns:///name:port`
 * @param serviceConfig gRPC's service config, as JSON
 * @throws where the port of the target is none
 */
export function openChannel(target: string, credentials: ChannelCredentials, serviceConfig: string): Client {
  needPort(target);
  return new Client(target, credentials, {
    "grpc.service_config": serviceConfig,
    "grpc.enable_retries": 1,
    // New gateways are found after 5 s, not after 30.
    "grpc.dns_min_time_between_resolutions_ms": 5_000,
    // A gateway that vanished without a word is noticed after a minute, not after hours.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
  });
}

/** To the library a port that is none is a connection that fails, and the calls wait in vain. */
function needPort(target: string): void {
  // Other targets have no port, or another scheme.
  const [, port] = /^(?:\[[^\]]*\]|[^:/[\]]*):([^:/]*)$/.exec(target.replace(/^dns:(\/\/[^/]*\/)?/, "")) ?? [];
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    throw new Error(`the port of ${target} is none`);
  }
}

export function plaintext(): ChannelCredentials {
  return credentials.createInsecure();
}

/**
 * TLS, and mutual TLS with a certificate. All of it PEM.
 *
 * @param authorities whom to trust; without them, whom Node trusts
 * @param certificate who the caller is
 * @param key its private key
 * @throws where the certificate and its key do not fit: else each call would fail, and none would say why
 */
export function tls(authorities?: Buffer, certificate?: Buffer, key?: Buffer): ChannelCredentials {
  if (authorities !== undefined) {
    // Throws where there is no certificate: to Node that means that nobody is trusted, and no call would say why.
    new X509Certificate(authorities);
  }
  if (
    certificate !== undefined &&
    key !== undefined &&
    !new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
  ) {
    throw new Error("certificate and key do not fit: the key is another's");
  }
  return credentials.createSsl(authorities, key, certificate);
}
