package com.example.backup;

import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.LifecycleState;
import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.logging.LogManager;

/** The command line. Exit code 0 for a backup, 1 for a failed call, 2 for a wrong command line. */
public final class Main {
  private static final String USAGE =
      """
      backup [FLAGS] volume VOLUME_ID              makes a backup of a volume
      backup [FLAGS] boot-volume BOOT_VOLUME_ID    makes a backup of a boot volume
      backup [FLAGS] calls                         calls from standard input, answers to standard output, as JSON lines

      --gateway TARGET       the gateway: host:port or dns:///name:port (default 127.0.0.1:50051)
      --tls                  TLS, with the authorities of the JDK
      --tls-ca FILE          TLS, with these authorities (PEM)
      --tls-cert FILE, --tls-key FILE    the certificate of this client and its key, for mutual TLS
      --service-config FILE  in place of the service config that is built in
      --name NAME            the backup's display name
      --retry-token TOKEN    default: a new UUID
      --timeout SECONDS      the deadline (default 30)
      """;

  private static final Set<String> FLAGS =
      Set.of(
          "--gateway",
          "--tls-ca",
          "--tls-cert",
          "--tls-key",
          "--service-config",
          "--name",
          "--retry-token",
          "--timeout");

  private static final class WrongUsage extends Exception {
    WrongUsage(String message) {
      super(Failure.oneLine(Failure.withoutStack(message)));
    }
  }

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    // What the library logs of a failed connection is in the words of the failed call.
    LogManager.getLogManager().reset();
    PrintStream out =
        new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    PrintStream err =
        new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);
    // An address can be so wrong that a thread of the library dies of it. What is left to say, the
    // call says.
    Thread.setDefaultUncaughtExceptionHandler((thread, e) -> {});
    int exitCode;
    try {
      exitCode = run(arguments, out, err);
    } catch (WrongUsage | Call.NotUnderstood e) {
      err.println("backup: " + e.getMessage());
      exitCode = 2;
    }
    System.exit(exitCode);
  }

  private static int run(String[] arguments, PrintStream out, PrintStream err)
      throws WrongUsage, Call.NotUnderstood, IOException, InterruptedException, ExecutionException {
    Map<String, String> flags = new HashMap<>();
    Deque<String> words = new ArrayDeque<>();
    split(List.of(arguments), flags, words);
    if (flags.containsKey("--help")) {
      out.print(USAGE);
      return 0;
    }
    String command = words.isEmpty() ? "" : words.removeFirst();
    int expected =
        switch (command) {
          case "volume", "boot-volume" -> 1;
          case "calls" -> 0;
          default ->
              throw new WrongUsage("what to do is volume, boot-volume or calls (see --help)");
        };
    if (words.size() != expected) {
      throw new WrongUsage(
          command
              + (expected == 0
                  ? " takes no argument"
                  : " takes one argument: whose backup to make"));
    }
    Duration deadline = deadline(flags.getOrDefault("--timeout", "30"));

    ManagedChannel channel = channel(flags);
    try {
      BackupClient client = new BackupClient(channel);
      if (command.equals("calls")) {
        new JsonLines(client)
            .run(new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)), out);
        return 0;
      }
      String token = flags.get("--retry-token");
      if (token == null) {
        token = UUID.randomUUID().toString();
        err.println("retry token " + token);
      }
      try {
        out.println(
            backup(client, command, words.getFirst(), flags.get("--name"), token, deadline));
        return 0;
      } catch (StatusRuntimeException e) {
        err.println(Failure.explain(e, token).words());
        return 1;
      }
    } finally {
      channel.shutdownNow();
    }
  }

  private static String backup(
      BackupClient client,
      String command,
      String id,
      String name,
      String token,
      Duration deadline) {
    if (command.equals("volume")) {
      var request = CreateVolumeBackupRequest.newBuilder().setVolumeId(id).setRetryToken(token);
      if (name != null) {
        request.setDisplayName(name);
      }
      var made = client.createVolumeBackup(request.build(), deadline, new Metadata());
      var backup = made.response().getVolumeBackup();
      return line(backup.getId(), backup.getLifecycleState(), token, made.metadata());
    }
    var request =
        CreateBootVolumeBackupRequest.newBuilder().setBootVolumeId(id).setRetryToken(token);
    if (name != null) {
      request.setDisplayName(name);
    }
    var made = client.createBootVolumeBackup(request.build(), deadline, new Metadata());
    var backup = made.response().getBootVolumeBackup();
    return line(backup.getId(), backup.getLifecycleState(), token, made.metadata());
  }

  private static String line(String id, LifecycleState state, String token, Metadata metadata) {
    return id
        + " "
        + state.name().replace("LIFECYCLE_STATE_", "")
        + "; retry token "
        + token
        + "; opc-request-id "
        + metadata.get(BackupClient.REQUEST_ID);
  }

  private static void split(List<String> arguments, Map<String, String> flags, Deque<String> words)
      throws WrongUsage {
    Deque<String> left = new ArrayDeque<>(arguments);
    while (!left.isEmpty()) {
      String argument = left.removeFirst();
      int equals = argument.indexOf('=');
      String flag = equals < 0 ? argument : argument.substring(0, equals);
      if (!argument.startsWith("-")) {
        words.add(argument);
      } else if (argument.equals("--tls") || argument.equals("--help")) {
        flags.put(argument, "");
      } else if (!FLAGS.contains(flag)) {
        throw new WrongUsage("there is no flag " + flag + " (see --help)");
      } else if (equals >= 0) {
        flags.put(flag, argument.substring(equals + 1));
      } else if (left.isEmpty()) {
        throw new WrongUsage(flag + " needs a value");
      } else {
        flags.put(flag, left.removeFirst());
      }
    }
  }

  private static Duration deadline(String seconds) throws WrongUsage {
    try {
      double value = Double.parseDouble(seconds);
      if (value > 0 && value < 1e9) {
        return Duration.ofNanos(Math.round(value * 1e9));
      }
    } catch (NumberFormatException e) {
      // Said below.
    }
    throw new WrongUsage("--timeout is a number of seconds, more than zero: " + seconds);
  }

  private static ManagedChannel channel(Map<String, String> flags) throws WrongUsage {
    GatewayChannel.lookUpNamesOften();
    try {
      String serviceConfig =
          flags.containsKey("--service-config")
              ? Files.readString(file(flags, "--service-config"))
              : GatewayChannel.serviceConfig();
      return GatewayChannel.open(
          flags.getOrDefault("--gateway", "127.0.0.1:50051"), credentials(flags), serviceConfig);
    } catch (IOException | RuntimeException e) { // The library has one for each way to be wrong.
      throw new WrongUsage(String.valueOf(e.getMessage()));
    }
  }

  private static ChannelCredentials credentials(Map<String, String> flags)
      throws WrongUsage, IOException {
    if (flags.containsKey("--tls-cert") != flags.containsKey("--tls-key")) {
      throw new WrongUsage("--tls-cert and --tls-key belong together");
    }
    boolean tls =
        flags.containsKey("--tls")
            || flags.containsKey("--tls-ca")
            || flags.containsKey("--tls-cert");
    if (!tls) {
      return GatewayChannel.plaintext();
    }
    try {
      return GatewayChannel.tls(
          file(flags, "--tls-ca"), file(flags, "--tls-cert"), file(flags, "--tls-key"));
    } catch (IllegalArgumentException e) {
      throw new WrongUsage("the files for TLS: " + e.getMessage());
    }
  }

  /** The file of a flag, null without the flag. */
  private static Path file(Map<String, String> flags, String flag) throws WrongUsage {
    if (!flags.containsKey(flag)) {
      return null;
    }
    Path file = Path.of(flags.get(flag));
    if (!Files.isReadable(file) || Files.isDirectory(file)) {
      throw new WrongUsage(flag + ": " + file + " cannot be read");
    }
    return file;
  }
}
