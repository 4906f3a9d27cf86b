package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// route is one HTTP form of one gRPC method, as declared in the description of the service.
type route struct {
	verb    string
	path    *regexp.Regexp
	fields  []string // of the request, one for each group of path
	hasBody bool
	method  protoreflect.MethodDescriptor
}

// rest serves REST requests by the corresponding gRPC calls.
type rest struct {
	routes []route
	grpc   *grpc.ClientConn
}

// newREST reads the routes from the descriptions of Pub/Sub's services, so that none is missing or
// misspelt. Streams have no REST form.
func newREST(client *grpc.ClientConn) *rest {
	r := &rest{grpc: client}
	for _, file := range []protoreflect.FileDescriptor{
		pubsubpb.File_google_pubsub_v1_pubsub_proto, pubsubpb.File_google_pubsub_v1_schema_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				r.addMethod(methods.Get(j))
			}
		}
	}
	return r
}

func (r *rest) addMethod(method protoreflect.MethodDescriptor) {
	rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil || method.IsStreamingClient() {
		return
	}
	for _, form := range append([]*annotations.HttpRule{rule}, rule.AdditionalBindings...) {
		verb, template := verbAndTemplate(form)
		path, fields := compile(template)
		// Pub/Sub's rules use the whole body or none.
		r.routes = append(r.routes, route{verb, path, fields, form.Body != "", method})
	}
}

func verbAndTemplate(rule *annotations.HttpRule) (verb, template string) {
	switch pattern := rule.Pattern.(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, pattern.Get
	case *annotations.HttpRule_Put:
		return http.MethodPut, pattern.Put
	case *annotations.HttpRule_Post:
		return http.MethodPost, pattern.Post
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, pattern.Delete
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, pattern.Patch
	}
	panic("an HTTP rule of Pub/Sub with an unknown verb")
}

var variable = regexp.MustCompile(`\{([^=}]+)=([^}]+)\}`)

// compile turns /v1/{topic=projects/*/topics/*}:publish into an expression and the field "topic".
func compile(template string) (*regexp.Regexp, []string) {
	var fields []string
	for _, found := range variable.FindAllStringSubmatch(template, -1) {
		fields = append(fields, found[1])
	}
	expression := variable.ReplaceAllString(template, "($2)")
	// A name has no colon; the text after one is the verb of the template.
	expression = strings.ReplaceAll(expression, "*", "[^/:]+")
	return regexp.MustCompile("^" + expression + "$"), fields
}

func (r *rest) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/" {
		io.WriteString(w, "Ok\n") // as the emulator does
		return
	}
	for _, route := range r.routes {
		values := route.path.FindStringSubmatch(request.URL.Path)
		if values == nil || route.verb != request.Method {
			continue
		}
		answer, err := r.call(route, values[1:], request)
		write(w, answer, err)
		return
	}
	write(w, nil, status.Errorf(codes.NotFound, "no method for %s %s", request.Method, request.URL.Path))
}

func (r *rest) call(route route, values []string, request *http.Request) (proto.Message, error) {
	fields := map[string]any{}
	if route.hasBody {
		// An empty body is an empty message.
		if err := json.NewDecoder(request.Body).Decode(&fields); err != nil && err != io.EOF {
			return nil, status.Errorf(codes.InvalidArgument, "the body is not JSON: %v", err)
		}
	}
	addQuery(fields, request.URL.Query())
	for i, field := range route.fields {
		set(fields, field, values[i])
	}
	message, err := fill(route.method.Input(), fields)
	if err != nil {
		return nil, err
	}
	answer := dynamicpb.NewMessage(route.method.Output())
	name := "/" + string(route.method.Parent().FullName()) + "/" + string(route.method.Name())
	return answer, r.grpc.Invoke(request.Context(), name, message, answer)
}

// addQuery leaves out the parameters that every Google API has ("$alt", "alt").
func addQuery(fields map[string]any, query url.Values) {
	for name, values := range query {
		if name == "alt" || strings.HasPrefix(name, "$") {
			continue
		}
		set(fields, name, values[0])
	}
}

// set puts a value at a path such as "topic.name".
func set(fields map[string]any, path string, value any) {
	parent, rest, nested := strings.Cut(path, ".")
	if !nested {
		fields[parent] = value
		return
	}
	child, ok := fields[parent].(map[string]any)
	if !ok {
		child = map[string]any{}
		fields[parent] = child
	}
	set(child, rest, value)
}

func fill(of protoreflect.MessageDescriptor, fields map[string]any) (proto.Message, error) {
	message := dynamicpb.NewMessage(of)
	text, err := json.Marshal(fields)
	if err == nil {
		err = protojson.Unmarshal(text, message)
	}
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "not a %s: %v", of.Name(), err)
	}
	return message, nil
}

func write(w http.ResponseWriter, answer proto.Message, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		writeError(w, status.Convert(err))
		return
	}
	text, err := protojson.Marshal(answer)
	if err != nil {
		writeError(w, status.New(codes.Internal, err.Error()))
		return
	}
	w.Write(text)
}

// writeError uses the format that clients of Google's APIs expect.
func writeError(w http.ResponseWriter, failure *status.Status) {
	known, ok := errors[failure.Code()]
	if !ok {
		known = errors[codes.Unknown]
	}
	w.WriteHeader(known.code)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": known.code, "message": failure.Message(), "status": known.status,
	}})
}

// errors maps gRPC codes to HTTP status codes, after google/rpc/code.proto.
var errors = map[codes.Code]struct {
	code   int
	status string
}{
	codes.Canceled:           {499, "CANCELLED"},
	codes.Unknown:            {500, "UNKNOWN"},
	codes.InvalidArgument:    {400, "INVALID_ARGUMENT"},
	codes.DeadlineExceeded:   {504, "DEADLINE_EXCEEDED"},
	codes.NotFound:           {404, "NOT_FOUND"},
	codes.AlreadyExists:      {409, "ALREADY_EXISTS"},
	codes.PermissionDenied:   {403, "PERMISSION_DENIED"},
	codes.Unauthenticated:    {401, "UNAUTHENTICATED"},
	codes.ResourceExhausted:  {429, "RESOURCE_EXHAUSTED"},
	codes.FailedPrecondition: {400, "FAILED_PRECONDITION"},
	codes.Aborted:            {409, "ABORTED"},
	codes.OutOfRange:         {400, "OUT_OF_RANGE"},
	codes.Unimplemented:      {501, "UNIMPLEMENTED"},
	codes.Internal:           {500, "INTERNAL"},
	codes.Unavailable:        {503, "UNAVAILABLE"},
	codes.DataLoss:           {500, "DATA_LOSS"},
}
