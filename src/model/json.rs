//! Reading the JSON that a model wrote: it may be wrapped in a code fence or in words.

use serde::de::DeserializeOwned;

use super::ModelError;

/// Reads the first complete JSON object in a model's answer.
///
/// # Errors
/// [`ModelError::BadResponse`] if there is none or it has another shape.
pub fn parse_object<T: DeserializeOwned>(text: &str) -> Result<T, ModelError> {
    let object = first_object(text).ok_or(ModelError::BadResponse { why: "no JSON object" })?;
    serde_json::from_str(object)
        .map_err(|_| ModelError::BadResponse { why: "the JSON object has another shape" })
}

/// The first balanced `{…}`, strings respected.
fn first_object(text: &str) -> Option<&str> {
    let start = text.find('{')?;
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return text.get(start..=at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<i64>) {
        #[derive(serde::Deserialize)]
        struct Probe {
            n: i64,
        }
        let got = parse_object::<Probe>(text).ok().map(|probe| probe.n);
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn finds_the_object_in_what_models_write() {
        check(r#"{"n":1}"#, Some(1));
        check("```json\n{\"n\": 2}\n```", Some(2));
        check(r#"Here you are: {"n":3, "x":"a } b \" {"} Anything else?"#, Some(3));
        check(r#"{"n":4"#, None);
        check(r#"{"m":5}"#, None);
        check("", None);
    }
}
