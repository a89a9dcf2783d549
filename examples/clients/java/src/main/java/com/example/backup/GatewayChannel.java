package com.example.backup;

import com.google.gson.Gson;
import com.google.gson.JsonSyntaxException;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.Security;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * The channel to the gateway. One serves the whole process: it connects by itself, takes turns over
 * all addresses of its target, and repeats what the service config says.
 */
final class GatewayChannel {
  private GatewayChannel() {}

  /**
   * Opens a channel. It does not connect before the first call.
   *
   * @param target {@code host:port} or {@code dns:///name:port}
   * @param serviceConfig gRPC's service config, as JSON
   */
  static ManagedChannel open(String target, ChannelCredentials credentials, String serviceConfig) {
    return Grpc.newChannelBuilder(target, credentials)
        .defaultServiceConfig(parse(serviceConfig))
        .enableRetry()
        // A gateway that vanished without a word is noticed after a minute, not after hours.
        .keepAliveTime(60, TimeUnit.SECONDS)
        .keepAliveTimeout(5, TimeUnit.SECONDS)
        .build();
  }

  static ChannelCredentials plaintext() {
    return InsecureChannelCredentials.create();
  }

  /**
   * TLS, and mutual TLS with a certificate.
   *
   * @param authorities whom to trust, PEM; null for the authorities of the JDK
   * @param certificate who the caller is, PEM; null for none
   * @param key its private key, PEM of PKCS #8
   */
  static ChannelCredentials tls(Path authorities, Path certificate, Path key) throws IOException {
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    if (authorities != null) {
      tls.trustManager(authorities.toFile());
    }
    if (certificate != null) {
      tls.keyManager(certificate.toFile(), key.toFile());
    }
    return tls.build();
  }

  /** The service config that is built in: {@code src/main/resources/service-config.json}. */
  static String serviceConfig() {
    try (InputStream file = GatewayChannel.class.getResourceAsStream("/service-config.json")) {
      return new String(file.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Has names looked up anew after some seconds, so that new gateways are found. The JDK keeps them
   * for 30 s, and so does gRPC. It holds for the whole process; call it before the first look-up.
   */
  static void lookUpNamesOften() {
    Security.setProperty("networkaddress.cache.ttl", "5");
    System.setProperty("networkaddress.cache.ttl", "5");
  }

  /** gRPC wants what a JSON parser makes of it: maps, lists, and every number a Double. */
  @SuppressWarnings("unchecked")
  private static Map<String, ?> parse(String serviceConfig) {
    try {
      return new Gson().fromJson(serviceConfig, Map.class);
    } catch (JsonSyntaxException e) {
      throw new IllegalArgumentException("the service config is not JSON: " + e.getMessage(), e);
    }
  }
}
