package com.example.backup;

import com.google.gson.Gson;
import com.google.gson.JsonSyntaxException;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.SignatureException;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The channel to the gateway. One serves the whole process: it connects by itself, takes turns over
 * all addresses of its target, and repeats what the service config says.
 */
final class GatewayChannel {
  /** {@code host:port}, where the host may be an address in brackets. */
  private static final Pattern ADDRESS =
      Pattern.compile("(\\[[^\\]]*\\]|[^:/\\[\\]]*):(?<port>[^:/]*)");

  private static final Map<String, String> SIGNATURES =
      Map.of("RSA", "SHA256withRSA", "EC", "SHA256withECDSA");

  private GatewayChannel() {}

  /**
   * Opens a channel. It does not connect before the first call.
   *
   * @param target {@code host:port} or {@code dns:///name:port}
   * @param serviceConfig gRPC's service config, as JSON
   * @throws IllegalArgumentException where the target or the service config is wrong
   */
  static ManagedChannel open(String target, ChannelCredentials credentials, String serviceConfig) {
    needPort(target);
    return Grpc.newChannelBuilder(target, credentials)
        .defaultServiceConfig(parse(serviceConfig))
        .enableRetry()
        // A gateway that vanished without a word is noticed after a minute, not after hours.
        .keepAliveTime(10, TimeUnit.SECONDS)
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
   * @throws IllegalArgumentException where certificate and key do not fit: else each call would
   *     fail, and none would say why
   */
  static ChannelCredentials tls(Path authorities, Path certificate, Path key) throws IOException {
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    if (authorities != null) {
      tls.trustManager(authorities.toFile());
    }
    if (certificate != null) {
      byte[] chain = Files.readAllBytes(certificate);
      byte[] secret = Files.readAllBytes(key);
      needFit(chain, secret);
      tls.keyManager(new ByteArrayInputStream(chain), new ByteArrayInputStream(secret));
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

  /** A port that is none ends a thread of the library, and the calls wait in vain. */
  private static void needPort(String target) {
    Matcher address = ADDRESS.matcher(target.replaceFirst("^dns:(//[^/]*/)?", ""));
    if (!address.matches()) {
      return; // No port, or another scheme.
    }
    String port = address.group("port");
    int number = port.matches("\\d{1,5}") ? Integer.parseInt(port) : 0;
    if (number < 1 || number > 65_535) {
      throw new IllegalArgumentException("the port of " + target + " is none");
    }
  }

  /** What the key signs, the certificate has to verify. */
  private static void needFit(byte[] certificate, byte[] privateKey) {
    try {
      PublicKey known =
          CertificateFactory.getInstance("X.509")
              .generateCertificate(new ByteArrayInputStream(pem("CERTIFICATE", certificate)))
              .getPublicKey();
      String algorithm = SIGNATURES.get(known.getAlgorithm());
      if (algorithm == null) {
        return; // The library says whether it knows that one.
      }
      PrivateKey key =
          KeyFactory.getInstance(known.getAlgorithm())
              .generatePrivate(new PKCS8EncodedKeySpec(pem("PRIVATE KEY", privateKey)));
      Signature signature = Signature.getInstance(algorithm);
      signature.initSign(key);
      signature.update(certificate);
      byte[] signed = signature.sign();
      signature.initVerify(known);
      signature.update(certificate);
      if (!signature.verify(signed)) {
        throw new SignatureException("the key is another's");
      }
    } catch (GeneralSecurityException e) {
      throw new IllegalArgumentException("certificate and key do not fit: " + e.getMessage(), e);
    }
  }

  /** The first block of this kind. */
  private static byte[] pem(String kind, byte[] file) {
    Matcher block =
        Pattern.compile("-----BEGIN " + kind + "-----([^-]*)-----END " + kind + "-----")
            .matcher(new String(file, StandardCharsets.ISO_8859_1));
    if (!block.find()) {
      throw new IllegalArgumentException("there is no BEGIN " + kind);
    }
    return Base64.getMimeDecoder().decode(block.group(1));
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
