package backup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Decision is what to do with a failed call.
type Decision string

const (
	// Repeat the same call with the same retry token, after RepeatAfter.
	Repeat Decision = "REPEAT"
	// Stop: the same call would fail again; or nobody knows its token, and only a look at OCI tells whether there is a
	// backup.
	Stop Decision = "STOP"
)

// Failure is all that a failed call says. As an error it is one line, for a person who has to act on it.
type Failure struct {
	Code    codes.Code
	Message string
	// What the gateway told besides. Without Info it was the library that ended the call, and no answer of a gateway came.
	Info       *errdetails.ErrorInfo
	Violations []*errdetails.BadRequest_FieldViolation
	Quota      []*errdetails.QuotaFailure_Violation
	Resource   *errdetails.ResourceInfo
	RetryInfo  *errdetails.RetryInfo
	// What Oracle's support asks for, of RequestInfo. Where there is none, the trailer may have it.
	RequestID string
	// The token of the call, for repeating it: the answer's, else the one that was sent.
	RetryToken string
	Trailer    metadata.MD

	Decision    Decision
	RepeatAfter time.Duration
	Words       string
}

func (f *Failure) Error() string { return f.Words }

// CodeName is the code as gRPC's documents write it.
func (f *Failure) CodeName() string { return code.Code(f.Code).String() }

// Explain turns a failed call into words and a decision. It takes the error, the trailing metadata and the retry token
// that was sent.
func Explain(err error, trailer metadata.MD, sentToken string) *Failure {
	failed := status.Convert(err)
	f := &Failure{Code: failed.Code(), Message: failed.Message(), Trailer: trailer}
	f.RetryToken = First(trailer, RetryTokenKey)
	if f.RetryToken == "" {
		f.RetryToken = sentToken
	}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			f.Info = detail
		case *errdetails.RequestInfo:
			f.RequestID = detail.GetRequestId()
		case *errdetails.RetryInfo:
			f.RetryInfo = detail
		case *errdetails.BadRequest:
			f.Violations = detail.GetFieldViolations()
		case *errdetails.QuotaFailure:
			f.Quota = detail.GetViolations()
		case *errdetails.ResourceInfo:
			f.Resource = detail
		}
	}
	f.decide()
	f.Words = f.inWords()
	return f
}

func (f *Failure) outcome() string { return f.Info.GetMetadata()["outcome"] }

// What became of the call.
const (
	mayHaveBeenMade = "the backup may have been made"
	wasMade         = "the backup was made, but its answer cannot be used"
	noAnswer        = "no answer of a gateway came, so the backup may have been made"
	madeNothing     = "this call made nothing"
)

func (f *Failure) whatBecameOfIt() string {
	switch f.outcome() {
	case "UNKNOWN":
		return mayHaveBeenMade
	case "STARTED":
		return wasMade
	}
	if f.Info == nil {
		// Nobody knows how far the call came: these the library makes by itself, or of what a proxy said in HTTP.
		switch f.Code {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal,
			codes.ResourceExhausted, codes.DataLoss, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
			return noAnswer
		}
	}
	return madeNothing
}

func (f *Failure) decide() {
	f.Decision = Stop
	if f.RetryToken == "" || f.RetryInfo == nil && f.whatBecameOfIt() == madeNothing {
		return
	}
	f.Decision, f.RepeatAfter = Repeat, time.Second
	if f.RetryInfo != nil {
		f.RepeatAfter = f.RetryInfo.GetRetryDelay().AsDuration()
	}
}

func (f *Failure) inWords() string {
	var words strings.Builder
	fmt.Fprintf(&words, "%s: %s", f.CodeName(), f.Message)
	if ociCode := f.Info.GetMetadata()["oci_code"]; ociCode != "" {
		fmt.Fprintf(&words, " [%s]", ociCode)
	}
	fmt.Fprintf(&words, "; %s; %s", f.whatBecameOfIt(), f.advice())
	requestID := f.RequestID
	if requestID == "" {
		requestID = First(f.Trailer, RequestIDKey)
	}
	if requestID != "" {
		fmt.Fprintf(&words, "; opc-request-id %s", requestID)
	}
	return oneLine.Replace(words.String())
}

var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ")

func (f *Failure) advice() string {
	if f.Decision == Repeat {
		return fmt.Sprintf("repeat with the retry token %s in %d ms", f.RetryToken, f.RepeatAfter.Milliseconds())
	}
	if f.Code == codes.FailedPrecondition || f.RetryToken == "" && f.whatBecameOfIt() != madeNothing {
		return "find out whether the backup exists before trying again"
	}
	if len(f.Violations) > 0 {
		var wrong []string
		for _, violation := range f.Violations {
			wrong = append(wrong, violation.GetField()+": "+violation.GetDescription())
		}
		return "mend " + strings.Join(wrong, ", ")
	}
	switch f.Info.GetReason() {
	case "UPSTREAM_TLS", "UPSTREAM_REDIRECT":
		return "this is for those who run the gateway"
	}
	switch f.Code {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.Internal:
		return "this is for those who run the gateway"
	}
	return "mend the cause before repeating"
}

// Pushback is what the gateway tells the library: milliseconds to wait before it repeats the call, negative where it
// must not. It is here for the curious; the library has obeyed it already.
func (f *Failure) Pushback() (milliseconds int, told bool) {
	milliseconds, err := strconv.Atoi(First(f.Trailer, "grpc-retry-pushback-ms"))
	return milliseconds, err == nil
}
