//! A list of shapes that is drawn as PNG (pixel by pixel) or as SVG, to the same picture.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

/// Red, green, blue.
pub type Colour = [u8; 3];

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Centred below it.
    Below,
    /// To the left of it, centred in height.
    Left,
}

/// Something to draw; y runs downwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A filled rectangle from its upper left corner.
    Rect {
        /// Upper left corner.
        at: [i32; 2],
        /// Width and height.
        size: [i32; 2],
        /// Fill.
        colour: Colour,
    },
    /// A filled disc.
    Dot {
        /// Centre.
        at: [f32; 2],
        /// Radius in pixels.
        radius: f32,
        /// Fill.
        colour: Colour,
        /// 0 invisible, 1 opaque.
        alpha: f32,
    },
    /// A number in small type.
    Number {
        /// The point it belongs to.
        at: [i32; 2],
        /// Digits, `.`, `-` and `e`.
        text: String,
        /// Where it stands.
        anchor: Anchor,
        /// Ink.
        colour: Colour,
    },
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Canvas {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What is not drawn over.
    pub background: Colour,
    /// What is drawn, in order.
    pub shapes: Vec<Shape>,
}

/// Pixels a dot of a glyph has on a side.
const GLYPH_SCALE: i32 = 3;
/// Pixels from the left of a glyph to the next.
const GLYPH_PITCH: i32 = 4 * GLYPH_SCALE;
/// Pixels of a glyph's height.
const GLYPH_HEIGHT: i32 = 5 * GLYPH_SCALE;

/// Five rows of three dots, a row an octal digit, from the top.
fn glyph(character: char) -> &'static [u8; 5] {
    match character {
        '0' => b"75557",
        '1' => b"26227",
        '2' => b"71747",
        '3' => b"71717",
        '4' => b"55711",
        '5' => b"74717",
        '6' => b"74757",
        '7' => b"71111",
        '8' => b"75757",
        '9' => b"75717",
        '-' => b"00700",
        'e' => b"02743",
        '.' => b"00002",
        _ => b"00000",
    }
}

/// `ink` over what is there.
fn blend(pixel: &mut Rgb<u8>, ink: Colour, alpha: f32) {
    for (under, over) in pixel.0.iter_mut().zip(ink) {
        *under = (f32::from(*under) + alpha * (f32::from(over) - f32::from(*under))).round() as u8;
    }
}

fn fill(image: &mut RgbImage, at: [i32; 2], size: [i32; 2], colour: Colour) {
    let span = |k: usize, limit: u32| {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        at[k].clamp(0, limit) as u32..at[k].saturating_add(size[k]).clamp(0, limit) as u32
    };
    let (columns, rows) = (span(0, image.width()), span(1, image.height()));
    for y in rows {
        for x in columns.clone() {
            image.put_pixel(x, y, Rgb(colour));
        }
    }
}

fn dot(image: &mut RgbImage, at: [f32; 2], radius: f32, colour: Colour, alpha: f32) {
    let near = |centre: f32, limit: u32| {
        let low = (centre - radius - 1.0).floor().clamp(0.0, limit as f32);
        let high = (centre + radius + 1.0).ceil().clamp(0.0, limit as f32);
        low as u32..high as u32
    };
    for y in near(at[1], image.height()) {
        for x in near(at[0], image.width()) {
            let distance = (x as f32 + 0.5 - at[0]).hypot(y as f32 + 0.5 - at[1]);
            let covered = (radius + 0.5 - distance).clamp(0.0, 1.0);
            blend(image.get_pixel_mut(x, y), colour, alpha * covered);
        }
    }
}

fn number(image: &mut RgbImage, at: [i32; 2], text: &str, anchor: Anchor, colour: Colour) {
    let width = GLYPH_PITCH * i32::try_from(text.chars().count()).unwrap_or(0) - GLYPH_SCALE;
    let [mut left, top] = match anchor {
        Anchor::Below => [at[0] - width / 2, at[1]],
        Anchor::Left => [at[0] - width, at[1] - GLYPH_HEIGHT / 2],
    };
    for character in text.chars() {
        for (row, dots) in (0..).zip(glyph(character)) {
            for column in (0..3).filter(|column| (dots - b'0') & (4 >> column) != 0) {
                let corner = [left + column * GLYPH_SCALE, top + row * GLYPH_SCALE];
                fill(image, corner, [GLYPH_SCALE; 2], colour);
            }
        }
        left += GLYPH_PITCH;
    }
}

impl Canvas {
    /// The pixels.
    pub fn pixels(&self) -> RgbImage {
        let mut image = RgbImage::from_pixel(self.width, self.height, Rgb(self.background));
        for shape in &self.shapes {
            match shape {
                Shape::Rect { at, size, colour } => fill(&mut image, *at, *size, *colour),
                Shape::Dot { at, radius, colour, alpha } => dot(&mut image, *at, *radius, *colour, *alpha),
                Shape::Number { at, text, anchor, colour } => number(&mut image, *at, text, *anchor, *colour),
            }
        }
        image
    }

    /// A PNG file.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Cursor::new(Vec::new());
        self.pixels().write_to(&mut bytes, ImageFormat::Png).map_err(|error| error.to_string())?;
        Ok(bytes.into_inner())
    }

    /// An SVG file.
    pub fn svg(&self) -> Result<String, String> {
        let mut text = String::new();
        let mut backend = SVGBackend::with_string(&mut text, (self.width, self.height));
        let rgb = |[r, g, b]: Colour| RGBColor(r, g, b);
        let whole = (self.width as i32, self.height as i32);
        let mut drawn = backend.draw_rect((0, 0), whole, &rgb(self.background).filled(), true);
        for shape in &self.shapes {
            drawn = drawn.and_then(|()| match shape {
                Shape::Rect { at, size, colour } => {
                    let corner = (at[0] + size[0], at[1] + size[1]);
                    backend.draw_rect((at[0], at[1]), corner, &rgb(*colour).filled(), true)
                }
                Shape::Dot { at, radius, colour, alpha } => {
                    let colour = rgb(*colour).mix(f64::from(*alpha));
                    let centre = (at[0].round() as i32, at[1].round() as i32);
                    backend.draw_circle(centre, radius.round().max(1.0) as u32, &colour.filled(), true)
                }
                Shape::Number { at, text, anchor, colour } => {
                    let position = match anchor {
                        Anchor::Below => Pos::new(HPos::Center, VPos::Top),
                        Anchor::Left => Pos::new(HPos::Right, VPos::Center),
                    };
                    let font = ("sans-serif", GLYPH_HEIGHT + 7).into_font();
                    let ink = rgb(*colour);
                    let style = TextStyle::from(font).color(&ink).pos(position);
                    backend.draw_text(text, &style, (at[0], at[1]))
                }
            });
        }
        drawn.and_then(|()| backend.present()).map_err(|error| error.to_string())?;
        drop(backend);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_land_where_they_should_and_may_hang_over_the_edge() {
        let ink = [200, 0, 0];
        let canvas = Canvas {
            width: 40,
            height: 30,
            background: [255; 3],
            shapes: vec![
                Shape::Rect { at: [-5, -5], size: [10, 10], colour: ink },
                Shape::Rect { at: [35, 25], size: [100, 100], colour: ink },
                Shape::Dot { at: [20.0, 15.0], radius: 2.0, colour: ink, alpha: 0.5 },
                Shape::Dot { at: [-3.0, 500.0], radius: 4.0, colour: ink, alpha: 1.0 },
                Shape::Number { at: [2, 28], text: "-1.5e3".into(), anchor: Anchor::Below, colour: ink },
            ],
        };
        let pixels = canvas.pixels();
        assert_eq!((pixels.width(), pixels.height()), (40, 30));
        assert_eq!(pixels.get_pixel(4, 4).0, ink);
        assert_eq!(pixels.get_pixel(5, 5).0, [255; 3]);
        assert_eq!(pixels.get_pixel(39, 29).0, ink);
        assert_eq!(pixels.get_pixel(20, 15).0, [228, 128, 128]);

        let again = image::load_from_memory(&canvas.png().unwrap()).unwrap().to_rgb8();
        assert_eq!(again, pixels);
        let svg = canvas.svg().unwrap();
        assert!(
            svg.starts_with("<svg width=\"40\" height=\"30\"") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        assert_eq!(svg.matches("<rect").count(), 3);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("-1.5e3") && svg.contains("<text"), "{svg}");
    }

    #[test]
    fn every_character_of_a_number_has_a_glyph() {
        for character in "0123456789-e.".chars() {
            assert!(glyph(character).iter().any(|row| *row != b'0'), "{character}");
            assert!(glyph(character).iter().all(|row| (b'0'..=b'7').contains(row)), "{character}");
        }
    }
}
