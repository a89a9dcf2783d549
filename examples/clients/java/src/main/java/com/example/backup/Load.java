package com.example.backup;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import io.github.ocibackupgateway.ocibackup.v1.CreateBootVolumeBackupResponse;
import io.github.ocibackupgateway.ocibackup.v1.CreateVolumeBackupResponse;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** A load of the test-drive: many calls, and what became of them. */
final class Load {
  private record Line(
      String rpc, String prefix, Long calls, Long forMs, Integer atOnce, Long timeoutMs) {}

  private final BackupClient client;
  private final Line line;
  private final AtomicLong next = new AtomicLong();
  private final long started = System.nanoTime();

  // Guarded by this.
  private final Map<String, Long> codes = new TreeMap<>();
  private final Set<String> backups = new HashSet<>();
  private final List<Long> nanos = new ArrayList<>();
  private String firstFailure;

  private Load(BackupClient client, Line line) {
    this.client = client;
    this.line = line;
  }

  static JsonObject make(BackupClient client, JsonElement json, ExecutorService threads)
      throws Call.NotUnderstood, InterruptedException, ExecutionException {
    Line line = Call.read(json, Line.class);
    if (line.prefix() == null
        || line.atOnce() == null
        || line.atOnce() < 1
        || (line.calls() == null) == (line.forMs() == null)) {
      throw new Call.NotUnderstood("a load has a prefix, atOnce, and either calls or forMs");
    }
    Load load = new Load(client, line);
    load.call(0); // Is there such an RPC?

    List<Callable<Void>> workers = new ArrayList<>();
    for (int i = 0; i < line.atOnce(); i++) {
      workers.add(load::work);
    }
    for (Future<Void> worker : threads.invokeAll(workers)) {
      worker.get();
    }
    return load.answer();
  }

  private Void work() throws Call.NotUnderstood {
    while (line.forMs() == null
        || System.nanoTime() - started < TimeUnit.MILLISECONDS.toNanos(line.forMs())) {
      long number = next.getAndIncrement();
      if (line.calls() != null && number >= line.calls()) {
        break;
      }
      make(call(number));
    }
    return null;
  }

  private Call call(long number) throws Call.NotUnderstood {
    return Call.numbered(client, line.rpc(), line.prefix(), number, line.timeoutMs());
  }

  private void make(Call call) {
    long began = System.nanoTime();
    String code = "OK";
    String backup = null;
    String words = null;
    try {
      backup = backupOf(call.make().get().response());
    } catch (StatusRuntimeException e) {
      code = e.getStatus().getCode().name();
      words = Failure.explain(e, call.retryToken()).words();
    }
    long took = System.nanoTime() - began;
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

  private synchronized JsonObject answer() {
    double seconds = (System.nanoTime() - started) / 1e9;
    long[] sorted = nanos.stream().mapToLong(Long::longValue).sorted().toArray();
    JsonObject answer = new JsonObject();
    answer.addProperty("calls", sorted.length);
    answer.add("codes", new Gson().toJsonTree(codes));
    if (firstFailure != null) {
      answer.addProperty("firstFailure", firstFailure);
    }
    answer.addProperty("seconds", Math.round(seconds * 1e3) / 1e3);
    answer.addProperty(
        "medianMs", sorted.length == 0 ? 0 : Math.round(sorted[sorted.length / 2] / 1e4) / 1e2);
    answer.addProperty("backups", backups.size());
    return answer;
  }

  private static String backupOf(Message response) {
    return response instanceof CreateVolumeBackupResponse volume
        ? volume.getVolumeBackup().getId()
        : ((CreateBootVolumeBackupResponse) response).getBootVolumeBackup().getId();
  }
}
