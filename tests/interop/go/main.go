// grpc-go against the interop service. ../README.md has the cases.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	service        = "/barid.interop.Interop/"
	patience       = 20 * time.Second
	specialMessage = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
	metadataAnswer = `interop-data-bin=abab00ff01
interop-text=746573742076616c7565
interop-twice=61
interop-twice=62`
	echoInitial  = "x-grpc-test-echo-initial"
	echoTrailing = "x-grpc-test-echo-trailing-bin"
	toldInitial  = "test_initial_metadata_value"
	toldTrailing = "\xab\xab\xab"
)

var (
	requestSizes = []int{27182, 8, 1828, 45904}
	answerSizes  = []int{31415, 9, 2653, 58979}
	connection   *grpc.ClientConn
)

// Messages are bytes: []byte out, *[]byte in.
type asIs struct{}

func (asIs) Name() string { return "proto" }

func (asIs) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (asIs) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = bytes.Clone(data)
	return nil
}

func pattern(size int) []byte {
	made := make([]byte, size)
	for i := range made {
		made[i] = byte(i % 251)
	}
	return made
}

// A request of size bytes.
func ask(answerSizes []int, size int) []byte {
	words := make([]string, len(answerSizes))
	for i, wanted := range answerSizes {
		words[i] = strconv.Itoa(wanted)
	}
	line := strings.Join(words, ",") + "\n"
	return append([]byte(line), pattern(size-len(line))...)
}

func unary(ctx context.Context, method string, request []byte, options ...grpc.CallOption) ([]byte, error) {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	var answer []byte
	err := connection.Invoke(ctx, method, request, &answer, options...)
	return answer, err
}

func open(ctx context.Context, method string, kind grpc.StreamDesc) (grpc.ClientStream, error) {
	return connection.NewStream(ctx, &kind, method)
}

var bidirectional = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func read(stream grpc.ClientStream) ([]byte, error) {
	var answer []byte
	err := stream.RecvMsg(&answer)
	return answer, err
}

func short(data []byte) string {
	return fmt.Sprintf("%d bytes %.60q", len(data), data)
}

// expectAnswer is nil if there was no error, and this answer.
func expectAnswer(found []byte, err error, wanted []byte) error {
	if err != nil {
		return err
	}
	if !bytes.Equal(found, wanted) {
		return fmt.Errorf("answered with %s, expected %s", short(found), short(wanted))
	}
	return nil
}

func expectEnd(stream grpc.ClientStream) error {
	if answer, err := read(stream); !errors.Is(err, io.EOF) {
		return fmt.Errorf("expected the end, found %s, %v", short(answer), err)
	}
	return nil
}

func expectCode(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("ended with %v, expected %v", err, code)
	}
	return nil
}

func expectStatus(err error, code codes.Code, message string) error {
	if found := status.Convert(err); found.Code() != code || found.Message() != message {
		return fmt.Errorf("ended with %v %q, expected %v %q", found.Code(), found.Message(), code, message)
	}
	return nil
}

// Both a unary call and a stream fail with it.
func failsWith(ctx context.Context, message string) error {
	request := []byte("2\n" + message)
	_, err := unary(ctx, service+"Fail", request)
	if err := expectStatus(err, codes.Unknown, message); err != nil {
		return err
	}
	stream, err := open(ctx, service+"FailStream", bidirectional)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	_, err = read(stream)
	return expectStatus(err, codes.Unknown, message)
}

func emptyUnary(ctx context.Context) error {
	answer, err := unary(ctx, service+"Empty", []byte{})
	return expectAnswer(answer, err, nil)
}

func largeUnary(ctx context.Context) error {
	answer, err := unary(ctx, service+"Answer", ask([]int{314159}, 271828))
	return expectAnswer(answer, err, pattern(314159))
}

func clientStreaming(ctx context.Context) error {
	stream, err := open(ctx, service+"Sum", grpc.StreamDesc{ClientStreams: true})
	if err != nil {
		return err
	}
	for _, size := range requestSizes {
		if err := stream.SendMsg(pattern(size)); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	answer, err := read(stream)
	return expectAnswer(answer, err, []byte("74922"))
}

func serverStreaming(ctx context.Context) error {
	stream, err := open(ctx, service+"Answers", grpc.StreamDesc{ServerStreams: true})
	if err != nil {
		return err
	}
	if err := stream.SendMsg(ask(answerSizes, 100)); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for _, size := range answerSizes {
		answer, err := read(stream)
		if err := expectAnswer(answer, err, pattern(size)); err != nil {
			return err
		}
	}
	return expectEnd(stream)
}

func pingPong(ctx context.Context) error {
	stream, err := open(ctx, service+"PingPong", bidirectional)
	if err != nil {
		return err
	}
	for i, size := range requestSizes {
		if err := stream.SendMsg(ask(answerSizes[i:i+1], size)); err != nil {
			return err
		}
		answer, err := read(stream)
		if err := expectAnswer(answer, err, pattern(answerSizes[i])); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return expectEnd(stream)
}

func emptyStream(ctx context.Context) error {
	stream, err := open(ctx, service+"PingPong", bidirectional)
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return expectEnd(stream)
}

func cancelAfterBegin(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := open(ctx, service+"Sleep", bidirectional)
	cancel()
	if err != nil {
		return err
	}
	_, err = read(stream)
	return expectCode(err, codes.Canceled)
}

func cancelAfterFirstResponse(ctx context.Context) error {
	name := strconv.FormatInt(time.Now().UnixNano(), 16) + "-" + strconv.Itoa(os.Getpid())
	cancelled, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "interop-call", name))
	defer cancel()
	stream, err := open(cancelled, service+"Sleep", bidirectional)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(ask([]int{31415}, 27182)); err != nil {
		return err
	}
	answer, err := read(stream)
	if err := expectAnswer(answer, err, pattern(31415)); err != nil {
		return err
	}
	cancel()
	_, err = read(stream)
	if err := expectCode(err, codes.Canceled); err != nil {
		return err
	}
	answer, err = unary(ctx, service+"Ending", []byte(name))
	return expectAnswer(answer, err, []byte("lost"))
}

func timeoutOnSleepingServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	stream, err := open(ctx, service+"Sleep", bidirectional)
	if err == nil {
		_, err = read(stream)
	}
	return expectCode(err, codes.DeadlineExceeded)
}

// Not of the context that the other cases have, which has a deadline of its own.
func deadlineIsTold(context.Context) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := unary(ctx, service+"Deadline", []byte{})
	if err != nil {
		return err
	}
	if left, err := strconv.Atoi(string(answer)); err != nil || left <= 30_000 || left > 65_000 {
		return fmt.Errorf("%s ms of 60 s are left", answer)
	}
	err = connection.Invoke(context.Background(), service+"Deadline", []byte{}, &answer)
	return expectAnswer(answer, err, []byte("none"))
}

func statusCodeAndMessage(ctx context.Context) error { return failsWith(ctx, "test status message") }

func specialStatusMessage(ctx context.Context) error { return failsWith(ctx, specialMessage) }

func customMetadata(ctx context.Context) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "interop-data-bin", "\xab\xab\x00\xff\x01", "interop-text", "test value",
		"interop-twice", "a", "interop-twice", "b")
	answer, err := unary(ctx, service+"Metadata", []byte{})
	if err := expectAnswer(answer, err, []byte(metadataAnswer)); err != nil {
		return err
	}
	return metadataIsTold(metadata.NewOutgoingContext(ctx, metadata.Pairs(echoInitial, toldInitial, echoTrailing, toldTrailing)))
}

// What the context asks for.
func metadataIsTold(ctx context.Context) error {
	request := ask([]int{314159}, 271828)
	var initial, trailing metadata.MD
	answer, err := unary(ctx, service+"Answer", request, grpc.Header(&initial), grpc.Trailer(&trailing))
	if err := errors.Join(expectAnswer(answer, err, pattern(314159)), expectMetadata(initial, trailing)); err != nil {
		return err
	}

	failure := []byte("10\nas asked")
	initial, trailing = nil, nil
	_, err = unary(ctx, service+"Fail", failure, grpc.Header(&initial), grpc.Trailer(&trailing))
	if err := errors.Join(expectCode(err, codes.Aborted), expectMetadata(initial, trailing)); err != nil {
		return err
	}
	trailing = nil
	inOneBlock := metadata.NewOutgoingContext(ctx, metadata.Pairs(echoTrailing, toldTrailing))
	_, err = unary(inOneBlock, service+"Fail", failure, grpc.Trailer(&trailing))
	if err := errors.Join(expectCode(err, codes.Aborted), expectPair(trailing, echoTrailing, toldTrailing)); err != nil {
		return err
	}

	stream, err := open(ctx, service+"PingPong", bidirectional)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	if initial, err = stream.Header(); err != nil {
		return err
	}
	answer, err = read(stream)
	if err := expectAnswer(answer, err, pattern(314159)); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return errors.Join(expectEnd(stream), expectMetadata(initial, stream.Trailer()))
}

func expectMetadata(initial, trailing metadata.MD) error {
	return errors.Join(expectPair(initial, echoInitial, toldInitial), expectPair(trailing, echoTrailing, toldTrailing))
}

func expectPair(found metadata.MD, key, value string) error {
	if values := found.Get(key); len(values) != 1 || values[0] != value {
		return fmt.Errorf("told %s: %q, expected %q", key, values, value)
	}
	return nil
}

func unimplementedMethod(ctx context.Context) error {
	_, err := unary(ctx, service+"Unknown", []byte{})
	return expectCode(err, codes.Unimplemented)
}

func unimplementedService(ctx context.Context) error {
	_, err := unary(ctx, "/barid.interop.Nothing/Empty", []byte{})
	return expectCode(err, codes.Unimplemented)
}

func compressedIsRefused(ctx context.Context) error {
	request := ask([]int{10}, 1000)
	_, err := unary(ctx, service+"Answer", request, grpc.UseCompressor(gzip.Name))
	if err := expectStatus(err, codes.Unimplemented, "grpc-encoding is gzip, only identity is supported"); err != nil {
		return err
	}
	answer, err := unary(ctx, service+"Answer", request)
	return expectAnswer(answer, err, pattern(10))
}

func main() {
	endpoint := flag.String("endpoint", "", "host:port")
	certificate := flag.String("certificate", "", "a file: speak TLS to the one that has it")
	flag.Parse()
	secure := insecure.NewCredentials()
	if *certificate != "" {
		var err error
		if secure, err = credentials.NewClientTLSFromFile(*certificate, ""); err != nil {
			log.Fatal(err)
		}
	}
	var err error
	connection, err = grpc.NewClient(*endpoint, grpc.WithTransportCredentials(secure),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(asIs{})))
	if err != nil {
		log.Fatal(err)
	}
	for _, one := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"empty_unary", emptyUnary},
		{"large_unary", largeUnary},
		{"client_streaming", clientStreaming},
		{"server_streaming", serverStreaming},
		{"ping_pong", pingPong},
		{"empty_stream", emptyStream},
		{"cancel_after_begin", cancelAfterBegin},
		{"cancel_after_first_response", cancelAfterFirstResponse},
		{"timeout_on_sleeping_server", timeoutOnSleepingServer},
		{"deadline_is_told", deadlineIsTold},
		{"status_code_and_message", statusCodeAndMessage},
		{"special_status_message", specialStatusMessage},
		{"custom_metadata", customMetadata},
		{"unimplemented_method", unimplementedMethod},
		{"unimplemented_service", unimplementedService},
		{"compressed_is_refused", compressedIsRefused},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		detail := ""
		if err := one.run(ctx); err != nil {
			detail = err.Error()
		}
		cancel()
		line, _ := json.Marshal(map[string]any{"case": one.name, "passed": detail == "", "detail": detail})
		fmt.Println(string(line))
	}
}
