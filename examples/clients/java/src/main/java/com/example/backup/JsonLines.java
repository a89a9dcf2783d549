package com.example.backup;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.ErrorInfo;
import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupResponse;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupRequest;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupResponse;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/**
 * Calls from a reader, answers to a printer, as JSON lines: the test-drive of the client. A service
 * needs none of this.
 */
final class JsonLines {
  private static final long DEADLINE_MS = 30_000;
  private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

  /** A line that cannot be understood. */
  static final class NotUnderstood extends Exception {
    NotUnderstood(String message) {
      super(message);
    }
  }

  private record CallLine(
      String rpc,
      JsonObject request,
      Map<String, String> metadata,
      Long timeoutMs,
      Long cancelAfterMs) {}

  private record LoadLine(
      String rpc, String prefix, Long calls, Long forMs, Integer atOnce, Long timeoutMs) {}

  /** A call that has only to be made. */
  private record Call(
      String retryToken,
      Long cancelAfterMs,
      Supplier<? extends BackupClient.Answer<? extends Message>> make) {}

  private final BackupClient client;
  private final ExecutorService threads = Executors.newCachedThreadPool(JsonLines::thread);
  private final ScheduledExecutorService clock =
      Executors.newSingleThreadScheduledExecutor(JsonLines::thread);

  JsonLines(BackupClient client) {
    this.client = client;
  }

  void run(BufferedReader in, PrintStream out)
      throws IOException, NotUnderstood, InterruptedException {
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.println(GSON.toJson(answer(parse(line))));
      out.flush();
    }
  }

  private static JsonElement parse(String line) throws NotUnderstood {
    try {
      return JsonParser.parseString(line);
    } catch (JsonParseException e) {
      throw new NotUnderstood("not JSON: " + e.getMessage());
    }
  }

  private JsonElement answer(JsonElement line) throws NotUnderstood, InterruptedException {
    if (line.isJsonArray()) {
      return answers(line.getAsJsonArray());
    }
    if (line.isJsonObject() && line.getAsJsonObject().has("load")) {
      return load(read(line.getAsJsonObject().get("load"), LoadLine.class));
    }
    return answer(call(read(line, CallLine.class)));
  }

  private JsonArray answers(JsonArray line) throws NotUnderstood, InterruptedException {
    List<Call> calls = new ArrayList<>();
    for (JsonElement call : line) {
      calls.add(call(read(call, CallLine.class)));
    }
    List<Future<JsonObject>> pending = new ArrayList<>();
    for (Call call : calls) {
      pending.add(threads.submit(() -> answer(call)));
    }
    JsonArray answers = new JsonArray();
    for (Future<JsonObject> answer : pending) {
      answers.add(result(answer));
    }
    return answers;
  }

  private JsonObject answer(Call call) {
    long started = System.nanoTime();
    JsonObject answer;
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      if (call.cancelAfterMs() != null) {
        clock.schedule(() -> context.cancel(null), call.cancelAfterMs(), TimeUnit.MILLISECONDS);
      }
      answer = success(context.call(call.make()::get));
    } catch (StatusRuntimeException e) {
      answer = failure(e, call.retryToken());
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
    answer.addProperty("tookMs", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started));
    return answer;
  }

  private static JsonObject success(BackupClient.Answer<? extends Message> made) {
    JsonObject answer = new JsonObject();
    answer.addProperty("code", "OK");
    answer.add("response", json(made.response()));
    addMetadata(answer, made.metadata());
    return answer;
  }

  private static JsonObject failure(StatusRuntimeException error, String retryToken) {
    Failure failure = Failure.explain(error, retryToken);
    JsonObject answer = new JsonObject();
    answer.addProperty("code", failure.code().name());
    answer.addProperty("message", failure.message());
    failure.info().ifPresent(info -> addInfo(answer, info));
    failure.request().ifPresent(request -> answer.addProperty("requestId", request.getRequestId()));
    failure
        .violations()
        .ifPresent(
            found -> {
              JsonArray violations = new JsonArray();
              found
                  .getFieldViolationsList()
                  .forEach(
                      one -> violations.add(pair("field", one.getField(), one.getDescription())));
              answer.add("violations", violations);
            });
    failure
        .quota()
        .ifPresent(
            found -> {
              JsonArray violations = new JsonArray();
              found
                  .getViolationsList()
                  .forEach(
                      one ->
                          violations.add(pair("subject", one.getSubject(), one.getDescription())));
              answer.add("quotaViolations", violations);
            });
    failure
        .resource()
        .ifPresent(
            found -> {
              JsonObject resource = new JsonObject();
              resource.addProperty("resourceType", found.getResourceType());
              resource.addProperty("resourceName", found.getResourceName());
              answer.add("resource", resource);
            });
    failure
        .retry()
        .ifPresent(
            retry -> answer.addProperty("retryAfterMs", Durations.toMillis(retry.getRetryDelay())));
    String pushback = failure.metadata().get(BackupClient.key("grpc-retry-pushback-ms"));
    if (pushback != null) {
      answer.addProperty("pushbackMs", Long.parseLong(pushback));
    }
    addMetadata(answer, failure.metadata());
    answer.addProperty("decision", failure.decision().name());
    if (failure.decision() == Failure.Decision.REPEAT) {
      answer.addProperty("repeatAfterMs", failure.repeatAfterMs());
    }
    answer.addProperty("words", failure.words());
    return answer;
  }

  private static void addInfo(JsonObject answer, ErrorInfo info) {
    answer.addProperty("domain", info.getDomain());
    answer.addProperty("reason", info.getReason());
    answer.add("errorMetadata", GSON.toJsonTree(new TreeMap<>(info.getMetadataMap())));
  }

  private static void addMetadata(JsonObject answer, Metadata metadata) {
    JsonObject told = new JsonObject();
    for (String name : metadata.keys()) {
      if (name.equals("etag") || name.startsWith("opc-")) {
        told.addProperty(name, metadata.get(BackupClient.key(name)));
      }
    }
    answer.add("metadata", told);
  }

  private static JsonObject pair(String name, String value, String description) {
    JsonObject pair = new JsonObject();
    pair.addProperty(name, value);
    pair.addProperty("description", description);
    return pair;
  }

  private JsonObject load(LoadLine load) throws NotUnderstood, InterruptedException {
    if (load.prefix() == null
        || load.atOnce() == null
        || load.atOnce() < 1
        || (load.calls() == null) == (load.forMs() == null)) {
      throw new NotUnderstood("a load has a prefix, atOnce, and either calls or forMs");
    }
    numbered(load, 0); // Is there such an RPC?

    AtomicLong next = new AtomicLong();
    Tally tally = new Tally();
    long started = System.nanoTime();
    List<Future<Void>> workers = new ArrayList<>();
    for (int i = 0; i < load.atOnce(); i++) {
      workers.add(
          threads.submit(
              () -> {
                while (load.forMs() == null
                    || System.nanoTime() - started < TimeUnit.MILLISECONDS.toNanos(load.forMs())) {
                  long number = next.getAndIncrement();
                  if (load.calls() != null && number >= load.calls()) {
                    break;
                  }
                  tally.make(numbered(load, number));
                }
                return null;
              }));
    }
    for (Future<Void> worker : workers) {
      result(worker);
    }
    return tally.json(System.nanoTime() - started);
  }

  /** What became of the calls of a load. */
  private static final class Tally {
    private final Map<String, Long> codes = new TreeMap<>();
    private final Set<String> backups = new HashSet<>();
    private final List<Long> nanos = new ArrayList<>();
    private String firstFailure;

    void make(Call call) {
      long started = System.nanoTime();
      String code = "OK";
      String backup = null;
      String words = null;
      try {
        backup = backupOf(call.make().get().response());
      } catch (StatusRuntimeException e) {
        code = e.getStatus().getCode().name();
        words = Failure.explain(e, call.retryToken()).words();
      }
      long took = System.nanoTime() - started;
      synchronized (this) {
        codes.merge(code, 1L, Long::sum);
        nanos.add(took);
        if (words == null) {
          backups.add(backup);
        } else if (firstFailure == null) {
          firstFailure = words;
        }
      }
    }

    synchronized JsonObject json(long took) {
      long[] sorted = nanos.stream().mapToLong(Long::longValue).sorted().toArray();
      JsonObject answer = new JsonObject();
      answer.addProperty("calls", sorted.length);
      answer.add("codes", GSON.toJsonTree(codes));
      if (firstFailure != null) {
        answer.addProperty("firstFailure", firstFailure);
      }
      answer.addProperty("seconds", Math.round(took / 1e6) / 1e3);
      answer.addProperty(
          "medianMs", sorted.length == 0 ? 0 : Math.round(sorted[sorted.length / 2] / 1e4) / 1e2);
      answer.addProperty("backups", backups.size());
      return answer;
    }
  }

  private Call numbered(LoadLine load, long number) throws NotUnderstood {
    String name = load.prefix() + number;
    String token = load.prefix() + "-" + number;
    Duration deadline = deadline(load.timeoutMs());
    return switch (String.valueOf(load.rpc())) {
      case "CreateVolumeBackup" ->
          call(
              CreateVolumeBackupRequest.newBuilder()
                  .setVolumeId("ocid1.volume.oc1.iad." + name)
                  .setRetryToken(token)
                  .build(),
              deadline,
              new Metadata(),
              null);
      case "CreateBootVolumeBackup" ->
          call(
              CreateBootVolumeBackupRequest.newBuilder()
                  .setBootVolumeId("ocid1.bootvolume.oc1.iad." + name)
                  .setRetryToken(token)
                  .build(),
              deadline,
              new Metadata(),
              null);
      default -> throw new NotUnderstood("there is no RPC " + load.rpc());
    };
  }

  private Call call(CallLine line) throws NotUnderstood {
    Metadata metadata = new Metadata();
    if (line.metadata() != null) {
      try {
        line.metadata().forEach((name, value) -> metadata.put(BackupClient.key(name), value));
      } catch (IllegalArgumentException e) {
        throw new NotUnderstood("metadata: " + e.getMessage());
      }
    }
    Duration deadline = deadline(line.timeoutMs());
    return switch (String.valueOf(line.rpc())) {
      case "CreateVolumeBackup" ->
          call(
              message(line.request(), CreateVolumeBackupRequest.newBuilder()).build(),
              deadline,
              metadata,
              line.cancelAfterMs());
      case "CreateBootVolumeBackup" ->
          call(
              message(line.request(), CreateBootVolumeBackupRequest.newBuilder()).build(),
              deadline,
              metadata,
              line.cancelAfterMs());
      default -> throw new NotUnderstood("there is no RPC " + line.rpc());
    };
  }

  private Call call(
      CreateVolumeBackupRequest request, Duration deadline, Metadata metadata, Long cancelAfterMs) {
    return new Call(
        request.hasRetryToken() ? request.getRetryToken() : metadata.get(BackupClient.RETRY_TOKEN),
        cancelAfterMs,
        () -> client.createVolumeBackup(request, deadline, metadata));
  }

  private Call call(
      CreateBootVolumeBackupRequest request,
      Duration deadline,
      Metadata metadata,
      Long cancelAfterMs) {
    return new Call(
        request.hasRetryToken() ? request.getRetryToken() : metadata.get(BackupClient.RETRY_TOKEN),
        cancelAfterMs,
        () -> client.createBootVolumeBackup(request, deadline, metadata));
  }

  private static Duration deadline(Long timeoutMs) {
    return Duration.ofMillis(timeoutMs == null ? DEADLINE_MS : timeoutMs);
  }

  private static String backupOf(Message response) {
    return response instanceof CreateVolumeBackupResponse volume
        ? volume.getVolumeBackup().getId()
        : ((CreateBootVolumeBackupResponse) response).getBootVolumeBackup().getId();
  }

  private static <T> T read(JsonElement line, Class<T> type) throws NotUnderstood {
    try {
      if (line.isJsonObject()) {
        return GSON.fromJson(line, type);
      }
    } catch (JsonParseException e) {
      throw new NotUnderstood(e.getMessage());
    }
    throw new NotUnderstood("a call, a list of calls or a load was expected: " + line);
  }

  private static <B extends Message.Builder> B message(JsonObject json, B builder)
      throws NotUnderstood {
    if (json == null) {
      throw new NotUnderstood("a call has a request");
    }
    try {
      JsonFormat.parser().merge(json.toString(), builder);
      return builder;
    } catch (InvalidProtocolBufferException e) {
      throw new NotUnderstood("request: " + e.getMessage());
    }
  }

  private static JsonElement json(Message message) {
    try {
      return JsonParser.parseString(JsonFormat.printer().print(message));
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException(e);
    }
  }

  private static <T> T result(Future<T> future) throws InterruptedException {
    try {
      return future.get();
    } catch (ExecutionException e) {
      throw new IllegalStateException(e.getCause());
    }
  }

  private static Thread thread(Runnable work) {
    Thread thread = new Thread(work, "json-lines");
    thread.setDaemon(true);
    return thread;
  }
}
