package com.example.backup;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupRequest;
import io.grpc.Metadata;
import java.time.Duration;
import java.util.Map;
import java.util.function.Supplier;

/**
 * A call of the test-drive that has only to be made. It may lack a retry token, to show what the
 * gateway does: what a service calls refuses that.
 *
 * @param retryToken null for none
 * @param cancelAfterMs null for never
 */
record Call(
    String retryToken,
    Long cancelAfterMs,
    Supplier<? extends BackupClient.Answer<? extends Message>> make) {

  private static final long DEADLINE_MS = 30_000;

  /** A line that cannot be understood. */
  static final class NotUnderstood extends Exception {
    NotUnderstood(String message) {
      super(message);
    }
  }

  /** A call as a line has it. */
  private record Line(
      String rpc,
      JsonObject request,
      Map<String, String> metadata,
      Long timeoutMs,
      Long cancelAfterMs) {}

  static Call of(BackupClient client, JsonElement json) throws NotUnderstood {
    Line line = read(json, Line.class);
    Metadata metadata = new Metadata();
    if (line.metadata() != null) {
      try {
        line.metadata().forEach((name, value) -> metadata.put(BackupClient.key(name), value));
      } catch (IllegalArgumentException e) {
        throw new NotUnderstood("metadata: " + e.getMessage());
      }
    }
    if (line.request() == null) {
      throw new NotUnderstood("a call has a request");
    }
    Duration deadline = deadline(line.timeoutMs());
    return switch (String.valueOf(line.rpc())) {
      case "CreateVolumeBackup" -> {
        var request = message(line.request(), CreateVolumeBackupRequest.newBuilder()).build();
        yield new Call(
            token(request.getRetryToken(), metadata),
            line.cancelAfterMs(),
            () -> client.call(deadline, metadata, stub -> stub.createVolumeBackup(request)));
      }
      case "CreateBootVolumeBackup" -> {
        var request = message(line.request(), CreateBootVolumeBackupRequest.newBuilder()).build();
        yield new Call(
            token(request.getRetryToken(), metadata),
            line.cancelAfterMs(),
            () -> client.call(deadline, metadata, stub -> stub.createBootVolumeBackup(request)));
      }
      default -> throw new NotUnderstood("there is no RPC " + line.rpc());
    };
  }

  /** One call of a load. */
  static Call numbered(BackupClient client, String rpc, String prefix, long number, Long timeoutMs)
      throws NotUnderstood {
    String token = prefix + "-" + number;
    Duration deadline = deadline(timeoutMs);
    return switch (String.valueOf(rpc)) {
      case "CreateVolumeBackup" -> {
        var request =
            CreateVolumeBackupRequest.newBuilder()
                .setVolumeId("ocid1.volume.oc1.iad." + prefix + number)
                .setRetryToken(token)
                .build();
        yield new Call(
            token, null, () -> client.createVolumeBackup(request, deadline, new Metadata()));
      }
      case "CreateBootVolumeBackup" -> {
        var request =
            CreateBootVolumeBackupRequest.newBuilder()
                .setBootVolumeId("ocid1.bootvolume.oc1.iad." + prefix + number)
                .setRetryToken(token)
                .build();
        yield new Call(
            token, null, () -> client.createBootVolumeBackup(request, deadline, new Metadata()));
      }
      default -> throw new NotUnderstood("there is no RPC " + rpc);
    };
  }

  static <T> T read(JsonElement json, Class<T> type) throws NotUnderstood {
    try {
      if (json.isJsonObject()) {
        return new Gson().fromJson(json, type);
      }
    } catch (JsonParseException e) {
      throw new NotUnderstood(e.getMessage());
    }
    throw new NotUnderstood("a call, a list of calls or a load was expected: " + json);
  }

  private static String token(String inField, Metadata metadata) {
    return inField.isEmpty() ? metadata.get(BackupClient.RETRY_TOKEN) : inField;
  }

  private static Duration deadline(Long timeoutMs) {
    return Duration.ofMillis(timeoutMs == null ? DEADLINE_MS : timeoutMs);
  }

  private static <B extends Message.Builder> B message(JsonObject json, B builder)
      throws NotUnderstood {
    try {
      JsonFormat.parser().merge(json.toString(), builder);
      return builder;
    } catch (InvalidProtocolBufferException e) {
      throw new NotUnderstood("request: " + e.getMessage());
    }
  }
}
