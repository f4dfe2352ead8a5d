import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.shaded.com.google.gson.JsonObject;
import org.apache.rocketmq.shaded.io.grpc.CallOptions;
import org.apache.rocketmq.shaded.io.grpc.Channel;
import org.apache.rocketmq.shaded.io.grpc.ChannelCredentials;
import org.apache.rocketmq.shaded.io.grpc.ClientCall;
import org.apache.rocketmq.shaded.io.grpc.ClientInterceptors;
import org.apache.rocketmq.shaded.io.grpc.Grpc;
import org.apache.rocketmq.shaded.io.grpc.InsecureChannelCredentials;
import org.apache.rocketmq.shaded.io.grpc.Metadata;
import org.apache.rocketmq.shaded.io.grpc.MethodDescriptor;
import org.apache.rocketmq.shaded.io.grpc.MethodDescriptor.MethodType;
import org.apache.rocketmq.shaded.io.grpc.Status;
import org.apache.rocketmq.shaded.io.grpc.StatusRuntimeException;
import org.apache.rocketmq.shaded.io.grpc.TlsChannelCredentials;
import org.apache.rocketmq.shaded.io.grpc.stub.ClientCalls;
import org.apache.rocketmq.shaded.io.grpc.stub.MetadataUtils;
import org.apache.rocketmq.shaded.io.grpc.stub.StreamObserver;

/** grpc-java, as the official client has it inside, against the interop service. ../README.md has the cases. */
public final class Interop {
    private static final String SERVICE = "barid.interop.Interop";
    private static final long PATIENCE_MS = 20_000;
    private static final int[] REQUEST_SIZES = {27182, 8, 1828, 45904};
    private static final int[] ANSWER_SIZES = {31415, 9, 2653, 58979};
    private static final String SPECIAL_MESSAGE =
        "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \ud83d\ude08\t\n";
    private static final String METADATA_ANSWER = "interop-data-bin=abab00ff01\ninterop-text=746573742076616c7565\n"
        + "interop-twice=61\ninterop-twice=62";
    private static final Metadata.Key<String> ECHO_INITIAL =
        Metadata.Key.of("x-grpc-test-echo-initial", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<byte[]> ECHO_TRAILING =
        Metadata.Key.of("x-grpc-test-echo-trailing-bin", Metadata.BINARY_BYTE_MARSHALLER);
    private static final String INITIAL = "test_initial_metadata_value";
    private static final byte[] TRAILING = {(byte) 0xab, (byte) 0xab, (byte) 0xab};

    private final Channel channel;

    private Interop(Channel channel) {
        this.channel = channel;
    }

    private interface Case {
        void run() throws Exception;
    }

    /** Messages are bytes. */
    private static final class AsIs implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    private static MethodDescriptor<byte[], byte[]> method(MethodType type, String service, String name) {
        return MethodDescriptor.newBuilder(new AsIs(), new AsIs())
            .setType(type).setFullMethodName(MethodDescriptor.generateFullMethodName(service, name)).build();
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] pattern(int size) {
        byte[] made = new byte[size];
        for (int i = 0; i < size; i++) {
            made[i] = (byte) (i % 251);
        }
        return made;
    }

    /** A request of {@code size} bytes. */
    private static byte[] ask(int size, int... answerSizes) {
        byte[] line = utf8(Arrays.toString(answerSizes).replaceAll("[\\[\\] ]", "") + "\n");
        ByteArrayOutputStream made = new ByteArrayOutputStream(size);
        made.writeBytes(line);
        made.writeBytes(pattern(size - line.length));
        return made.toByteArray();
    }

    private static void expect(String what, byte[] found, byte[] wanted) {
        if (!Arrays.equals(found, wanted)) {
            throw new AssertionError(what + ": " + shorten(found) + ", expected " + shorten(wanted));
        }
    }

    private static String shorten(byte[] data) {
        return data == null ? "the end"
            : data.length + " bytes " + new String(data, 0, Math.min(data.length, 60), StandardCharsets.UTF_8);
    }

    private static Status expectFailure(Status.Code code, Case call) throws Exception {
        try {
            call.run();
        } catch (StatusRuntimeException error) {
            if (error.getStatus().getCode() != code) {
                throw new AssertionError("failed with " + error.getStatus() + ", expected " + code);
            }
            return error.getStatus();
        }
        throw new AssertionError("it succeeded, expected " + code);
    }

    private static void expectFailure(Status.Code code, String message, Case call) throws Exception {
        String found = expectFailure(code, call).getDescription();
        if (!message.equals(found)) {
            throw new AssertionError("message \"" + found + "\", expected \"" + message + "\"");
        }
    }

    private static CallOptions within(long millis) {
        return CallOptions.DEFAULT.withDeadlineAfter(millis, TimeUnit.MILLISECONDS);
    }

    private byte[] unary(String service, String name, byte[] request, CallOptions options) {
        return ClientCalls.blockingUnaryCall(channel, method(MethodType.UNARY, service, name), options, request);
    }

    private byte[] unary(String name, byte[] request) {
        return unary(SERVICE, name, request, within(PATIENCE_MS));
    }

    /** A stream read one answer after the other. */
    private static final class Stream implements StreamObserver<byte[]> {
        private final BlockingQueue<Object> events = new LinkedBlockingQueue<>();
        private final ClientCall<byte[], byte[]> call;
        private final StreamObserver<byte[]> requests;

        Stream(Channel channel, MethodType type, String name, long millis) {
            call = channel.newCall(method(type, SERVICE, name), within(millis));
            requests = type == MethodType.CLIENT_STREAMING ? ClientCalls.asyncClientStreamingCall(call, this)
                : ClientCalls.asyncBidiStreamingCall(call, this);
        }

        @Override
        public void onNext(byte[] answer) {
            events.add(answer);
        }

        @Override
        public void onError(Throwable error) {
            events.add(error);
        }

        @Override
        public void onCompleted() {
            events.add(this);
        }

        /** Null at the end, if that is OK. */
        byte[] read() throws InterruptedException {
            Object event = events.poll(2 * PATIENCE_MS, TimeUnit.MILLISECONDS);
            if (event instanceof byte[]) {
                return (byte[]) event;
            }
            if (event == this) {
                return null;
            }
            throw event == null ? Status.UNKNOWN.withDescription("nothing came").asRuntimeException()
                : Status.fromThrowable((Throwable) event).asRuntimeException();
        }
    }

    private Stream open(String name) {
        return new Stream(channel, MethodType.BIDI_STREAMING, name, PATIENCE_MS);
    }

    private void emptyUnary() {
        expect("answer", unary("Empty", new byte[0]), new byte[0]);
    }

    private void largeUnary() {
        expect("answer", unary("Answer", ask(271828, 314159)), pattern(314159));
    }

    private void clientStreaming() throws Exception {
        Stream stream = new Stream(channel, MethodType.CLIENT_STREAMING, "Sum", PATIENCE_MS);
        for (int size : REQUEST_SIZES) {
            stream.requests.onNext(pattern(size));
        }
        stream.requests.onCompleted();
        expect("sum", stream.read(), utf8("74922"));
        expect("end", stream.read(), null);
    }

    private void serverStreaming() {
        Iterator<byte[]> answers = ClientCalls.blockingServerStreamingCall(channel,
            method(MethodType.SERVER_STREAMING, SERVICE, "Answers"), within(PATIENCE_MS), ask(100, ANSWER_SIZES));
        for (int size : ANSWER_SIZES) {
            expect("answer", answers.next(), pattern(size));
        }
        expect("end", answers.hasNext() ? answers.next() : null, null);
    }

    private void pingPong() throws Exception {
        Stream stream = open("PingPong");
        for (int i = 0; i < REQUEST_SIZES.length; i++) {
            stream.requests.onNext(ask(REQUEST_SIZES[i], ANSWER_SIZES[i]));
            expect("answer", stream.read(), pattern(ANSWER_SIZES[i]));
        }
        stream.requests.onCompleted();
        expect("end", stream.read(), null);
    }

    private void emptyStream() throws Exception {
        Stream stream = open("PingPong");
        stream.requests.onCompleted();
        expect("end", stream.read(), null);
    }

    private void cancelAfterBegin() throws Exception {
        Stream stream = open("Sleep");
        stream.call.cancel("the case wants it", null);
        expectFailure(Status.Code.CANCELLED, stream::read);
    }

    private void cancelAfterFirstResponse() throws Exception {
        String name = UUID.randomUUID().toString();
        Metadata named = new Metadata();
        named.put(Metadata.Key.of("interop-call", Metadata.ASCII_STRING_MARSHALLER), name);
        Stream stream = new Stream(ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(named)),
            MethodType.BIDI_STREAMING, "Sleep", PATIENCE_MS);
        stream.requests.onNext(ask(27182, 31415));
        expect("answer", stream.read(), pattern(31415));
        stream.call.cancel("the case wants it", null);
        expectFailure(Status.Code.CANCELLED, stream::read);
        expect("ending", unary("Ending", utf8(name)), utf8("lost"));
    }

    private void timeoutOnSleepingServer() throws Exception {
        Stream stream = new Stream(channel, MethodType.BIDI_STREAMING, "Sleep", 500);
        expectFailure(Status.Code.DEADLINE_EXCEEDED, stream::read);
    }

    private void deadlineIsTold() {
        long left = Long.parseLong(new String(unary(SERVICE, "Deadline", new byte[0], within(60_000)),
            StandardCharsets.UTF_8));
        if (left <= 30_000 || left > 65_000) {
            throw new AssertionError(left + " ms of 60 s are left");
        }
        expect("left", unary(SERVICE, "Deadline", new byte[0], CallOptions.DEFAULT), utf8("none"));
    }

    private void expectStatus(String message) throws Exception {
        byte[] request = utf8("2\n" + message);
        expectFailure(Status.Code.UNKNOWN, message, () -> unary("Fail", request));
        Stream stream = open("FailStream");
        stream.requests.onNext(request);
        expectFailure(Status.Code.UNKNOWN, message, stream::read);
    }

    private void customMetadata() throws Exception {
        Metadata metadata = new Metadata();
        metadata.put(Metadata.Key.of("interop-data-bin", Metadata.BINARY_BYTE_MARSHALLER),
            new byte[] {(byte) 0xab, (byte) 0xab, 0, (byte) 0xff, 1});
        metadata.put(Metadata.Key.of("interop-text", Metadata.ASCII_STRING_MARSHALLER), "test value");
        Metadata.Key<String> twice = Metadata.Key.of("interop-twice", Metadata.ASCII_STRING_MARSHALLER);
        metadata.put(twice, "a");
        metadata.put(twice, "b");
        Channel attaching = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(metadata));
        expect("metadata", new Interop(attaching).unary("Metadata", new byte[0]), utf8(METADATA_ANSWER));

        Metadata asked = new Metadata();
        asked.put(ECHO_INITIAL, INITIAL);
        asked.put(ECHO_TRAILING, TRAILING);
        byte[] request = ask(271828, 314159);
        Told unary = new Told(channel, asked);
        expect("answer", unary.client.unary("Answer", request), pattern(314159));
        unary.expectAll();

        byte[] failure = utf8("10\nas asked");
        Told failed = new Told(channel, asked);
        expectFailure(Status.Code.ABORTED, "as asked", () -> failed.client.unary("Fail", failure));
        failed.expectAll();
        Metadata trailing = new Metadata();  // All in one block.
        trailing.put(ECHO_TRAILING, TRAILING);
        Told inOneBlock = new Told(channel, trailing);
        expectFailure(Status.Code.ABORTED, "as asked", () -> inOneBlock.client.unary("Fail", failure));
        expect("trailing metadata of a failure", inOneBlock.trailing.get().get(ECHO_TRAILING), TRAILING);

        Told streamed = new Told(channel, asked);
        Stream stream = streamed.client.open("PingPong");
        stream.requests.onNext(request);
        expect("answer", stream.read(), pattern(314159));
        stream.requests.onCompleted();
        expect("end", stream.read(), null);
        streamed.expectAll();
    }

    /** A client of one call: what it asks to be told, and what it was told. */
    private static final class Told {
        final AtomicReference<Metadata> initial = new AtomicReference<>();
        final AtomicReference<Metadata> trailing = new AtomicReference<>();
        final Interop client;

        Told(Channel channel, Metadata asked) {
            client = new Interop(ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(asked),
                MetadataUtils.newCaptureMetadataInterceptor(initial, trailing)));
        }

        void expectAll() {
            expect("initial metadata", utf8(String.valueOf(initial.get().get(ECHO_INITIAL))), utf8(INITIAL));
            expect("trailing metadata", trailing.get().get(ECHO_TRAILING), TRAILING);
        }
    }

    private void unimplementedMethod() throws Exception {
        expectFailure(Status.Code.UNIMPLEMENTED, () -> unary("Unknown", new byte[0]));
    }

    private void unimplementedService() throws Exception {
        expectFailure(Status.Code.UNIMPLEMENTED,
            () -> unary("barid.interop.Nothing", "Empty", new byte[0], within(PATIENCE_MS)));
    }

    private void compressedIsRefused() throws Exception {
        byte[] request = ask(1000, 10);
        expectFailure(Status.Code.UNIMPLEMENTED, "grpc-encoding is gzip, only identity is supported",
            () -> unary(SERVICE, "Answer", request, within(PATIENCE_MS).withCompression("gzip")));
        expect("answer without", unary("Answer", request), pattern(10));
    }

    private Map<String, Case> cases() {
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("empty_unary", this::emptyUnary);
        cases.put("large_unary", this::largeUnary);
        cases.put("client_streaming", this::clientStreaming);
        cases.put("server_streaming", this::serverStreaming);
        cases.put("ping_pong", this::pingPong);
        cases.put("empty_stream", this::emptyStream);
        cases.put("cancel_after_begin", this::cancelAfterBegin);
        cases.put("cancel_after_first_response", this::cancelAfterFirstResponse);
        cases.put("timeout_on_sleeping_server", this::timeoutOnSleepingServer);
        cases.put("deadline_is_told", this::deadlineIsTold);
        cases.put("status_code_and_message", () -> expectStatus("test status message"));
        cases.put("special_status_message", () -> expectStatus(SPECIAL_MESSAGE));
        cases.put("custom_metadata", this::customMetadata);
        cases.put("unimplemented_method", this::unimplementedMethod);
        cases.put("unimplemented_service", this::unimplementedService);
        cases.put("compressed_is_refused", this::compressedIsRefused);
        return cases;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new LinkedHashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            options.put(arguments[i], arguments[i + 1]);
        }
        String certificate = options.get("--certificate");
        ChannelCredentials credentials = certificate == null ? InsecureChannelCredentials.create()
            : TlsChannelCredentials.newBuilder().trustManager(new File(certificate)).build();
        Interop interop = new Interop(Grpc.newChannelBuilder(options.get("--endpoint"), credentials).build());
        for (Map.Entry<String, Case> one : interop.cases().entrySet()) {
            String detail = "";
            try {
                one.getValue().run();
            } catch (Exception | AssertionError error) {
                detail = error.toString();
            }
            JsonObject line = new JsonObject();
            line.addProperty("case", one.getKey());
            line.addProperty("passed", detail.isEmpty());
            line.addProperty("detail", detail);
            System.out.println(line);
        }
        System.exit(0);
    }
}
