import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Confluent's Parallel Consumer, in order of keys. The task is JSON on standard input, the file of the schema the one argument. */
public class ParallelConsumerPeer {
  /** Threads where the handler waits for nothing: more only get in each other's way. */
  private static final int THREADS_TO_CONSUME = 16;

  public static void main(String[] args) throws Exception {
    JsonNode task = new ObjectMapper().readTree(System.in);
    long events = task.get("events").asLong();
    long latencyMs = Math.round(task.get("latency_ms").asDouble());
    int threads = latencyMs > 0 ? task.get("in_flight").asInt() : THREADS_TO_CONSUME;
    Schema schema = new Schema.Parser().parse(Files.readString(Path.of(args[0])));
    var reader = ThreadLocal.withInitial(() -> new GenericDatumReader<GenericRecord>(schema));
    var cpu = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    AtomicLong seen = new AtomicLong(), beganNs = new AtomicLong(), beganCpuNs = new AtomicLong();
    CountDownLatch done = new CountDownLatch(1);

    var processor = processor(task.get("bootstrap").asText(), threads);
    processor.subscribe(List.of(task.get("topic").asText()));
    processor.poll(context -> {
      if (beganNs.compareAndSet(0, System.nanoTime())) {
        beganCpuNs.set(cpu.getProcessCpuTime());
      }
      try {
        byte[] value = context.value();
        reader.get().read(null, DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null));
        if (latencyMs > 0) {
          Thread.sleep(latencyMs);
        }
      } catch (Exception error) {
        throw new RuntimeException(error);
      }
      if (seen.incrementAndGet() == events) {
        done.countDown();
      }
    });
    done.await();
    double seconds = (System.nanoTime() - beganNs.get()) / 1e9;
    double cpuSeconds = (cpu.getProcessCpuTime() - beganCpuNs.get()) / 1e9;
    System.out.println("{\"events\": " + events + ", \"seconds\": " + seconds + ", \"cpu_seconds\": " + cpuSeconds + "}");
    System.out.flush();
    Runtime.getRuntime().halt(0);
  }

  private static ParallelStreamProcessor<byte[], byte[]> processor(String bootstrap, int threads) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    properties.put("group.id", "parallel-consumer-" + System.nanoTime());
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    properties.put("max.poll.records", "1000");
    var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    var options = ParallelConsumerOptions.<byte[], byte[]>builder()
        .ordering(ParallelConsumerOptions.ProcessingOrder.KEY)
        .maxConcurrency(threads)
        .consumer(consumer)
        .commitMode(ParallelConsumerOptions.CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
        .build();
    return ParallelStreamProcessor.createEosStreamProcessor(options);
  }
}
