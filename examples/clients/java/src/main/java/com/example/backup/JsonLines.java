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
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Calls from a reader, answers to a printer, as JSON lines: the test-drive of the client, with
 * {@link Call} and {@link Load}. A service needs none of it.
 */
final class JsonLines {
  private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

  private final BackupClient client;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();

  JsonLines(BackupClient client) {
    this.client = client;
  }

  void run(BufferedReader in, PrintStream out)
      throws IOException, Call.NotUnderstood, InterruptedException, ExecutionException {
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.println(GSON.toJson(answer(parse(line))));
    }
  }

  private static JsonElement parse(String line) throws Call.NotUnderstood {
    try {
      return JsonParser.parseString(line);
    } catch (JsonParseException e) {
      throw new Call.NotUnderstood("not JSON: " + e.getMessage());
    }
  }

  private JsonElement answer(JsonElement line)
      throws Call.NotUnderstood, InterruptedException, ExecutionException {
    if (line.isJsonArray()) {
      return answers(line.getAsJsonArray());
    }
    if (line.isJsonObject() && line.getAsJsonObject().has("load")) {
      return Load.make(client, line.getAsJsonObject().get("load"), threads);
    }
    return answer(Call.of(client, line));
  }

  private JsonArray answers(JsonArray line)
      throws Call.NotUnderstood, InterruptedException, ExecutionException {
    List<Callable<JsonObject>> calls = new ArrayList<>();
    for (JsonElement json : line) {
      Call call = Call.of(client, json);
      calls.add(() -> answer(call));
    }
    JsonArray answers = new JsonArray();
    for (Future<JsonObject> answer : threads.invokeAll(calls)) {
      answers.add(answer.get());
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
    } catch (Exception e) { // Of Callable's signature: the call throws nothing else.
      throw new IllegalStateException(e);
    }
    answer.addProperty("tookMs", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started));
    return answer;
  }

  private static JsonObject success(BackupClient.Answer<? extends Message> made) {
    JsonObject answer = new JsonObject();
    answer.addProperty("code", "OK");
    answer.add("response", json(made.response()));
    answer.add("metadata", json(made.metadata()));
    return answer;
  }

  private static JsonObject failure(StatusRuntimeException error, String retryToken) {
    Failure failure = Failure.explain(error, retryToken);
    JsonObject answer = new JsonObject();
    answer.addProperty("code", failure.code().name());
    answer.addProperty("message", failure.message());
    failure
        .info()
        .ifPresent(
            info -> {
              answer.addProperty("domain", info.getDomain());
              answer.addProperty("reason", info.getReason());
              answer.add("errorMetadata", GSON.toJsonTree(new TreeMap<>(info.getMetadataMap())));
            });
    failure.request().ifPresent(request -> answer.addProperty("requestId", request.getRequestId()));
    failure
        .violations()
        .ifPresent(
            found -> {
              JsonArray violations = new JsonArray();
              for (var one : found.getFieldViolationsList()) {
                violations.add(json("field", one.getField(), "description", one.getDescription()));
              }
              answer.add("violations", violations);
            });
    failure
        .quota()
        .ifPresent(
            found -> {
              JsonArray violations = new JsonArray();
              for (var one : found.getViolationsList()) {
                violations.add(
                    json("subject", one.getSubject(), "description", one.getDescription()));
              }
              answer.add("quotaViolations", violations);
            });
    failure
        .resource()
        .map(
            found ->
                json(
                    "resourceType",
                    found.getResourceType(),
                    "resourceName",
                    found.getResourceName()))
        .ifPresent(resource -> answer.add("resource", resource));
    failure
        .retry()
        .filter(RetryInfo::hasRetryDelay)
        .map(found -> Durations.toMillis(found.getRetryDelay()))
        .ifPresent(delay -> answer.addProperty("retryAfterMs", delay));
    String pushback = failure.metadata().get(BackupClient.key("grpc-retry-pushback-ms"));
    if (pushback != null && pushback.matches("-?\\d{1,18}")) {
      answer.addProperty("pushbackMs", Long.parseLong(pushback));
    }
    answer.add("metadata", json(failure.metadata()));
    answer.addProperty("decision", failure.decision().name());
    if (failure.decision() == Failure.Decision.REPEAT) {
      answer.addProperty("repeatAfterMs", failure.repeatAfterMs());
    }
    answer.addProperty("words", failure.words());
    return answer;
  }

  private static JsonElement json(Message message) {
    try {
      return JsonParser.parseString(JsonFormat.printer().print(message));
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException(e);
    }
  }

  private static JsonObject json(Metadata metadata) {
    JsonObject json = new JsonObject();
    for (String name : metadata.keys()) {
      if (name.equals("etag") || name.startsWith("opc-")) {
        json.addProperty(name, metadata.get(BackupClient.key(name)));
      }
    }
    return json;
  }

  private static JsonObject json(String key, String value, String otherKey, String otherValue) {
    JsonObject json = new JsonObject();
    json.addProperty(key, value);
    json.addProperty(otherKey, otherValue);
    return json;
  }
}
